import { call } from "./api.js";
import { byId, copyTemplate, replaceItems } from "./dom.js";
import { exponent, formatMoney, parseAmount } from "./money.js";
import { showSums } from "./sums.js";

const TOKEN_KEY = "clozit.operator";
const EFFECT_DELAY_MS = 700; // webhooks and workers usually need this long until an action shows
let openedId = null;

if (location.hash.startsWith("#token=")) {
  sessionStorage.setItem(TOKEN_KEY, location.hash.slice("#token=".length));
  history.replaceState(null, "", location.pathname); // keep the token out of the browser's history
}

const callOrders = (path, options = {}) =>
  call(`/operator/api${path}`, { ...options, headers: { ...options.headers, Authorization: `Bearer ${sessionStorage.getItem(TOKEN_KEY)}` } });

const statuses = (order) => [
  order.status,
  order.needs_review && `needs review: ${order.review_reason}`,
  order.refund_status !== "none" && `refund: ${order.refund_status}`,
  order.dispute_status !== "none" && `dispute: ${order.dispute_status}`,
  order.status === "paid" && order.fulfillment_status,
].filter(Boolean).map((word) => word.replaceAll("_", " "));

const formatTime = (iso) => new Date(iso).toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "medium" });

/** Shows the list of orders and the opened order as they are now. */
async function refresh() {
  const hasToken = Boolean(sessionStorage.getItem(TOKEN_KEY));
  byId("entry").hidden = hasToken;
  if (!hasToken) return;
  const { items } = await callOrders("/orders?limit=50");
  byId("lead").textContent = items.length ? "Newest first." : "There are no orders yet.";
  replaceItems(byId("orders"), items.map(row));
  if (openedId) show(await callOrders(`/orders/${openedId}`));
}

function row(order) {
  const { amount_total: total, currency } = { ...order, ...order.charged };
  const title = `${order.number} · ${formatMoney(total, currency)}`;
  const { node } = copyTemplate("row", { title, states: statuses(order).join(" · "), time: formatTime(order.created_at) });
  const button = node.querySelector("button");
  button.id = `order-${order.id}`;
  button.setAttribute("aria-current", String(order.id === openedId));
  button.addEventListener("click", () => runOrShowProblem(async () => {
    openedId = order.id;
    await refresh();
  }));
  return node;
}

function show(order) {
  byId("number").textContent = `${order.number} ${order.customer_name ?? order.customer_email ?? ""}`;
  byId("states").textContent = statuses(order).join(" · ");
  byId("address").textContent = shippingAddress(order);
  byId("lines").replaceChildren(...order.lines.map(({ quantity, name, amount_subtotal }) =>
    copyTemplate("line", { quantity: `${quantity} ×`, name, sum: formatMoney(amount_subtotal, order.currency) }).node));
  showSums(byId("sums"), { ...order, ...order.charged, paid_currency: order.currency });
  byId("actions").replaceChildren(...actions(order));
  byId("timeline").replaceChildren(...order.timeline.map(({ happened_at, text }) => copyTemplate("moment", { time: formatTime(happened_at), text }).node));
  byId("order").hidden = false;
}

const shippingAddress = ({ shipping_name: name, shipping_address: to, customer_phone: phone }) =>
  to ? [name, to.line1, to.line2, [to.postal_code, to.city].filter(Boolean).join(" "), to.state, to.country, phone].filter(Boolean).join(", ") : "";

/** Returns a form for each action that the order allows now. */
function actions(order) {
  if (order.status !== "paid") return [];
  const payment = refundablePayment(order);
  return [
    order.needs_review && form("review", { reason: order.review_detail }, order, "review", (_, decision) => ({ decision })),
    !order.hold && form("ship", {}, order, "shipments", (data) =>
      ({ all: true, ...Object.fromEntries([...data].filter(([, value]) => value.trim())) })),
    !order.needs_review && payment && refundForm(order, payment),
  ].filter(Boolean);
}

const isOwner = (payment, order) => [order.payment_intent, order.session_id].includes(payment.id);

/** Returns the payment to refund: the one that paid the order, or another one once nothing of it is left; or undefined. */
function refundablePayment(order) {
  const owners = order.payments.filter((payment) => isOwner(payment, order));
  return [...owners, ...order.payments].find((payment) => payment.amount_refundable > 0);
}

/** Returns the form of a refund. Its buttons name the sums: the typed amount, which must be one, and all that is left. */
function refundForm(order, payment) {
  const { amount_refundable: rest, currency } = payment;
  const example = (rest / 10 ** exponent(currency)).toLocaleString(document.documentElement.lang, { minimumFractionDigits: exponent(currency) });
  const all = `Refund all${isOwner(payment, order) ? "" : ` of ${payment.id}`}: ${formatMoney(rest, currency)}`;
  const node = form("refund", { label: `Amount in ${currency.toUpperCase()}`, all }, order, "refunds",
    (data, extent) => ({ ...refundExtent(extent, data, currency), payment_id: payment.id, reason: "requested_by_customer" }));
  node.querySelector(".tick").hidden = !isOwner(payment, order); // the pieces belong to the payment that paid the order
  const input = node.querySelector("[name=amount]");
  const part = node.querySelector("button[value=part]");
  const nameSum = () => {
    const amount = parseAmount(input.value, currency);
    const sum = amount && amount <= rest ? formatMoney(amount, currency) : "";
    part.disabled = !sum;
    part.textContent = sum ? `Refund ${sum}` : "Refund";
    const typed = input.value.trim();
    input.setCustomValidity(typed && !sum ? `Enter an amount up to ${formatMoney(rest, currency)}, such as ${example}.` : "");
    node.querySelector("[data-part=hint]").textContent = input.validationMessage;
  };
  input.addEventListener("input", nameSum);
  nameSum();
  return node;
}

/** Returns the extent of a refund by the button that was clicked. A refund of an amount cannot return items to stock. */
function refundExtent(extent, data, currency) {
  if (extent === "all") return { all: true, restock: data.has("restock") };
  return { amount: parseAmount(data.get("amount"), currency) };
}

/** Returns a form that posts to one of the order's routes. It has one idempotency key, so a double click acts once. */
function form(template, texts, order, route, bodyOf) {
  const { node } = copyTemplate(template, texts);
  const key = crypto.randomUUID();
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = bodyOf(new FormData(node), event.submitter?.value);
    for (const button of node.querySelectorAll("button")) button.disabled = true;
    runOrShowProblem(async () => {
      await callOrders(`/orders/${order.id}/${route}`, { method: "POST", headers: { "Idempotency-Key": key }, body });
      await new Promise((resume) => setTimeout(resume, EFFECT_DELAY_MS));
    }, true);
  });
  return node;
}

/** Runs an action and shows its problem, if there is one. Afterwards it refreshes the page if asked to. */
async function runOrShowProblem(action, refreshAfter = false) {
  byId("problem").textContent = "";
  try {
    await action();
  } catch (problem) {
    if (problem.status === 401) sessionStorage.removeItem(TOKEN_KEY);
    byId("problem").textContent = problem.status === 401 ? "This token is not valid. Please enter another one." : problem.message;
  }
  if (refreshAfter || !sessionStorage.getItem(TOKEN_KEY)) await refresh().catch(() => {});
}

byId("reload").addEventListener("click", () => runOrShowProblem(refresh));
byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, byId("token").value.trim());
  runOrShowProblem(refresh);
});

await runOrShowProblem(refresh);

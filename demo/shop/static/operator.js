import { call } from "./api.js";
import { byId, copy, refill } from "./dom.js";
import { exponent, money } from "./money.js";

const TOKEN = "clozit.operator";
const SETTLING_MS = 700; // Stripe's webhooks and the workers take about as long
let shown = null;

if (location.hash.startsWith("#token=")) {
  sessionStorage.setItem(TOKEN, location.hash.slice("#token=".length));
  history.replaceState(null, "", location.pathname); // no token in the history
}

const ask = (path, options = {}) =>
  call(`/operator/api${path}`, { ...options, headers: { ...options.headers, Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` } });

const states = (order) => [
  order.status,
  order.needs_review && `needs review: ${order.review_reason}`,
  order.refund_status !== "none" && `refunded: ${order.refund_status}`,
  order.dispute_status !== "none" && `dispute: ${order.dispute_status}`,
  order.status === "paid" && order.fulfillment_status,
].filter(Boolean).map((word) => word.replaceAll("_", " "));

const time = (iso) => new Date(iso).toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "medium" });

async function look() {
  const known = Boolean(sessionStorage.getItem(TOKEN));
  byId("entry").hidden = known;
  if (!known) return;
  const { items } = await ask("/orders?limit=50");
  byId("lead").textContent = items.length ? "Newest first." : "Nobody has bought anything yet.";
  refill(byId("orders"), items.map(row));
  if (shown) show(await ask(`/orders/${shown}`));
}

function row(order) {
  const title = `${order.number} · ${money(order.amount_total, order.currency)}`;
  const { node } = copy("row", { title, states: states(order).join(" · "), time: time(order.created_at) });
  const button = node.querySelector("button");
  button.id = `order-${order.id}`;
  button.setAttribute("aria-current", String(order.id === shown));
  button.addEventListener("click", () => attempt(async () => {
    shown = order.id;
    await look();
  }));
  return node;
}

function show(order) {
  const amount = (minor) => money(minor, order.currency);
  const sums = [["Total", order.amount_total], ["Paid", order.amount_paid], ["Refunded", -order.amount_refunded]].filter(([, minor]) => minor);
  byId("number").textContent = `${order.number} ${order.customer_name ?? order.customer_email ?? ""}`;
  byId("states").textContent = states(order).join(" · ");
  byId("address").textContent = addressee(order);
  byId("lines").replaceChildren(...order.lines.map(({ quantity, name, amount_total }) =>
    copy("line", { quantity: `${quantity} ×`, name, sum: amount(amount_total) }).node));
  byId("sums").replaceChildren(...sums.map(([label, minor]) => copy("sum", { label, amount: amount(minor) }).node));
  byId("acts").replaceChildren(...acts(order));
  byId("timeline").replaceChildren(...order.timeline.map(({ happened_at, text }) => copy("moment", { time: time(happened_at), text }).node));
  byId("order").hidden = false;
}

const addressee = ({ shipping_name: name, shipping_address: to, customer_phone: phone }) =>
  to ? [name, to.line1, to.line2, [to.postal_code, to.city].filter(Boolean).join(" "), to.state, to.country, phone].filter(Boolean).join(", ") : "";

function acts(order) {
  if (order.status !== "paid") return [];
  const left = order.amount_paid - order.amount_refunded;
  return [
    order.needs_review && form("review", { why: order.review_detail }, order, "review", (_, decision) => ({ decision })),
    !order.needs_review && order.fulfillment_status !== "fulfilled" && form("ship", {}, order, "shipments", (data) =>
      Object.fromEntries([...data].filter(([, value]) => value.trim()))),
    !order.needs_review && left > 0 && form("refund", { label: `Amount, or all of ${money(left, order.currency)}` }, order, "refunds", (data) => refundOf(data, order)),
  ].filter(Boolean);
}

/** An amount as it was typed; without one, all that is left. */
function refundOf(data, order) {
  const typed = data.get("amount").trim().replace(",", ".");
  const amount = typed && { amount: Math.round(Number(typed) * 10 ** exponent(order.currency)) };
  return { ...amount, restock: data.has("restock"), reason: "requested_by_customer" };
}

/** One key per form: a double click asks for the same thing twice, and gets it once. */
function form(template, words, order, route, bodyOf) {
  const { node } = copy(template, words);
  const key = crypto.randomUUID();
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = bodyOf(new FormData(node), event.submitter?.value);
    for (const button of node.querySelectorAll("button")) button.disabled = true;
    attempt(async () => {
      await ask(`/orders/${order.id}/${route}`, { method: "POST", headers: { "Idempotency-Key": key }, body });
      await new Promise((resume) => setTimeout(resume, SETTLING_MS));
    }, true);
  });
  return node;
}

/** Does it and says what stands in the way, if anything; afterwards everything is shown as it is now. */
async function attempt(act, again = false) {
  byId("problem").textContent = "";
  try {
    await act();
  } catch (problem) {
    if (problem.status === 401) sessionStorage.removeItem(TOKEN);
    byId("problem").textContent = problem.status === 401 ? "This token is not known here." : problem.message;
  }
  if (again || !sessionStorage.getItem(TOKEN)) await look().catch(() => {});
}

byId("reload").addEventListener("click", () => attempt(look));
byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value.trim());
  attempt(look);
});

await attempt(look);

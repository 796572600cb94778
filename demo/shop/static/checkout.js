import { call, cancelCheckout } from "./api.js";
import { showBag } from "./bag.js";
import { cart, clearAttempt, getOrCreateAttempt, storeSession } from "./cart.js";
import { byId } from "./dom.js";

const FIELDS = ["customer_email", "discount_code"];

/** Sends the customer to the payment page, or shows each problem beside its field or line. */
export async function checkOut(checkoutUrl, refreshStock) {
  const order = currentOrder();
  const { key, replaced } = getOrCreateAttempt(order);
  showProblems();
  setBusy(true);
  try {
    if (replaced) await cancelCheckout(checkoutUrl, replaced).catch(() => {}); // if this fails, it expires later
    const headers = { "Idempotency-Key": key };
    const session = await call(`${checkoutUrl}/checkout/sessions`, { method: "POST", headers, body: order });
    storeSession(session);
    location.assign(session.url);
  } catch (problem) {
    if (isFinal(problem)) clearAttempt();
    if (problem.name === "checkout-expired") return checkOut(checkoutUrl, refreshStock); // with a new key
    if (problem.name === "out-of-stock") await refreshStock().catch(() => {});
    setBusy(false);
    showProblems(problem);
  }
}

function currentOrder() {
  return {
    items: Object.entries(cart.items).map(([sku, quantity]) => ({ sku, quantity })),
    currency: cart.currency,
    ...(cart.shipping_option && { shipping_option: cart.shipping_option }),
    ...Object.fromEntries(FIELDS.map((id) => [id, byId(id).value.trim()]).filter(([, value]) => value)),
    locale: document.documentElement.lang,
    success_url: `${location.origin}/success.html?session_id={CHECKOUT_SESSION_ID}`,
    cancel_url: `${location.origin}/cancel.html?checkout_id={CHECKOUT_ID}`,
  };
}

// After a refusal no checkout exists, so the next attempt needs a new key. Without a clear answer, one may exist, and
// the key must stay the same.
const isFinal = ({ status, name }) => (status >= 400 && status < 500) || name === "stripe-rejected";

export function setBusy(busy) {
  byId("pay").disabled = busy;
  byId("pay").textContent = busy ? "One moment …" : "Check out";
}

function showProblems(problem) {
  const unavailable = problem?.lines ?? [];
  showBag(Object.fromEntries(unavailable.map(({ sku, available }) => [sku, stockProblem(available)])));
  const wrongFields = FIELDS.filter((id) => showFieldProblem(id, sentences(problem?.fields[id])));
  byId("checkout-problem").textContent = problem ? summary(problem, unavailable, wrongFields) : "";
  const first = wrongFields[0] ?? (unavailable[0] && `fewer-${unavailable[0].sku}`) ?? (problem && "pay");
  if (first) byId(first)?.focus();
}

function showFieldProblem(id, text) {
  byId(`${id}-problem`).textContent = text;
  byId(id).setAttribute("aria-invalid", text ? "true" : "false");
  return Boolean(text);
}

function summary(problem, unavailable, wrongFields) {
  if (unavailable.length) return "Some items are no longer available. Please change the marked items and try again.";
  if (wrongFields.length) return "Please check the marked field.";
  return sentences(problem.fields) || problem.message;
}

function stockProblem(available) {
  return available > 0 ? `Only ${available} left. Please choose fewer.` : "Sold out. Please remove it.";
}

/** Joins messages, which may be nested by field and index. */
function sentences(errors) {
  if (typeof errors === "string") return errors;
  return Object.values(errors ?? {}).map(sentences).join(" ");
}

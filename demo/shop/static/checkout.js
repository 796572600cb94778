import { call, expire } from "./api.js";
import { showBag } from "./bag.js";
import { attempt, attemptStarted, cart, forgetAttempt } from "./cart.js";
import { byId } from "./dom.js";

const FIELDS = ["customer_email", "discount_code"];

/** Sends the customer to the payment page, or says what stands in the way where it stands. */
export async function checkOut(checkoutUrl, refreshStock) {
  const order = currentOrder();
  const { key, replaced } = attempt(order);
  showProblems();
  busy(true);
  try {
    if (replaced) await expire(checkoutUrl, replaced).catch(() => {}); // else it ends by itself, later
    const headers = { "Idempotency-Key": key };
    const session = await call(`${checkoutUrl}/checkout/sessions`, { method: "POST", headers, body: order });
    attemptStarted(session);
    location.assign(session.url);
  } catch (problem) {
    if (isFinal(problem)) forgetAttempt();
    if (problem.name === "checkout-expired") return checkOut(checkoutUrl, refreshStock); // now with a new key
    if (problem.name === "out-of-stock") await refreshStock().catch(() => {});
    busy(false);
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

// After a refusal nothing is under way, so the next try is a new one. Without a clear answer it must stay the same.
const isFinal = ({ status, name }) => (status >= 400 && status < 500) || name === "stripe-rejected";

export function busy(is) {
  byId("pay").disabled = is;
  byId("pay").textContent = is ? "One moment …" : "Check out";
}

function showProblems(problem) {
  const short = problem?.lines ?? [];
  showBag(Object.fromEntries(short.map(({ sku, available }) => [sku, shortWords(available)])));
  const placed = FIELDS.filter((id) => showField(id, sentences(problem?.fields[id])));
  byId("checkout-problem").textContent = problem ? summary(problem, short, placed) : "";
  const first = placed[0] ?? (short[0] && `fewer-${short[0].sku}`) ?? (problem && "pay");
  if (first) byId(first)?.focus();
}

function showField(id, words) {
  byId(`${id}-problem`).textContent = words;
  byId(id).setAttribute("aria-invalid", words ? "true" : "false");
  return Boolean(words);
}

function summary(problem, short, placed) {
  if (short.length) return "Somebody was faster. Please change the marked pieces and try again.";
  if (placed.length) return "Please have a look at the marked field.";
  return sentences(problem.fields) || problem.message;
}

function shortWords(available) {
  return available > 0 ? `Only ${available} left. Please take fewer.` : "Sold out. Please remove it.";
}

/** Messages may be nested by field and index. */
function sentences(errors) {
  if (typeof errors === "string") return errors;
  return Object.values(errors ?? {}).map(sentences).join(" ");
}

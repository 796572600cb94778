import { call, fetchConfig } from "./api.js";
import { emptyPaidBag } from "./cart.js";
import { byId, copyTemplate } from "./dom.js";
import { formatMoney } from "./money.js";
import { showSums } from "./sums.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const LATE_MS = 60_000; // the page then says that the customer can close it
const MAIL_FOLLOWS = "We will send you an e-mail. You can close this page.";

const STATES = { // badge, headline and explanation
  waiting: ["One moment", "Thank you.", "We are waiting for the confirmation of your payment."],
  late: ["One moment", "Thank you.", `The confirmation takes longer than usual. ${MAIL_FOLLOWS}`],
  open: ["Confirming", "Thank you.", "We are confirming your payment."],
  payment_pending: ["Payment pending", "Thank you. We are waiting for your payment.", `Did you choose a voucher or a bank transfer? Then please pay it with the details that you got. ${MAIL_FOLLOWS}`],
  payment_debit: ["Payment pending", "Thank you. Your payment is on its way.", `A bank debit takes a few days. ${MAIL_FOLLOWS}`],
  payment_voucher: ["Payment pending", "Thank you. Please pay your voucher.", "Our e-mail has the link to your voucher or to the bank details, and the date by which to pay."],
  paid: ["Paid", "Thank you for your order.", "We have received your payment. Now we are getting your order ready."],
  processing: ["Paid", "Thank you.", `We have received your payment and are processing your order. ${MAIL_FOLLOWS}`],
  free: ["Confirmed", "Thank you for your order.", "There is nothing to pay. Now we are getting your order ready."],
  in_review: ["Paid, in review", "Thank you.", "We have received your payment. We are checking your order and will write to you."],
  review_cancel: ["Canceled", "We had to cancel your order.", "We will not ship it. Our e-mail says more."],
  review_shipped: ["Partly shipped", "We have checked your order.", "What we have shipped is yours. Nothing more will be shipped. Our e-mail says more."],
  review_refund: ["Canceled", "We are refunding your payment.", "We cannot ship your order. Our e-mail says more."],
  order_canceled: ["Canceled", "We have canceled your order.", "We will not ship it. Our e-mail says more."],
  partial: ["Partly shipped", "Part of your order is on its way.", "The rest will follow in another parcel."],
  fulfilled: ["Shipped", "Your order is on its way.", "Thank you for your order."],
  refunded: ["Refunded", "We have refunded your payment.", "Depending on your bank, it can take a few days to show up."],
  payment_failed: ["Payment failed", "Your payment did not go through.", "Nothing was charged, and your items are no longer reserved. Your bank can give you the reason."],
  expired: ["Expired", "This order has expired.", "It was not paid in time. Nothing was charged."],
  canceled: ["Canceled", "This order was canceled.", "Nothing was charged."],
  unknown: ["No order", "We cannot show your order.", "The address of this page has no valid session_id, so we do not know which order is yours."],
};
const WITHOUT_ACTION = new Set(["au_becs_debit", "bacs_debit", "card", "link", "sepa_debit"]); // nothing more to do
// Their customers may have to confirm their bank account first. Once the method is known, the bank has the debit.
const CONFIRMED_DEBITS = new Set([...WITHOUT_ACTION, "acss_debit", "nz_bank_account", "us_bank_account"]);
const CHANGING = new Set(["waiting", "open", "payment_pending", "payment_debit", "payment_voucher", "processing", "in_review"]); // the page keeps asking in these states
const UNPAID = new Set(["payment_failed", "expired", "canceled"]);

const sessionId = new URLSearchParams(location.search).get("session_id");

async function watchOrder() {
  const { orders_url } = await fetchConfig();
  const started = Date.now();
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    if (!CHANGING.has(await refresh(orders_url, Date.now() - started > LATE_MS))) return;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

/** Shows the order as it is now, and returns its state. */
async function refresh(ordersUrl, isLate) {
  try {
    const order = await call(`${ordersUrl}/orders/by-session/${encodeURIComponent(sessionId)}`);
    byId("order-problem").textContent = "";
    return show(order);
  } catch (problem) {
    if (!problem.mayChange) return showState("unknown");
    byId("order-problem").textContent = problem.status === 404 ? "" : `${problem.message} This page keeps trying.`;
    if (isLate && problem.status === 404) showState("late");
    return "waiting";
  }
}

function show(order) {
  const state = stateOf(order);
  if (state !== "open" && !UNPAID.has(state)) emptyPaidBag(sessionId);
  showState(state);
  showReceipt(order);
  return state;
}

/** Returns the latest change of a paid order: refunded, in review, ended by a review, or shipped. */
function stateOf(order) {
  if (order.status === "payment_pending") return pendingState(order);
  if (order.status !== "paid") return order.status;
  if (order.refund_status === "full") return "refunded";
  if (order.needs_review) return "in_review";
  if (order.review_decision) return order.shipments?.length ? "review_shipped" : `review_${order.review_decision}`;
  if (order.fulfillment_status === "canceled") return "order_canceled";
  if (order.fulfillment_status !== "unfulfilled") return order.fulfillment_status;
  if (!order.confirmed) return "processing";
  return order.amount_total ? "paid" : "free";
}

/** Returns what a customer with a delayed payment has to do: pay a voucher or transfer, nothing, or it is not known. */
function pendingState({ has_instructions, payment_method, payment_method_types }) {
  if (has_instructions) return "payment_voucher";
  const isDebit = payment_method
    ? CONFIRMED_DEBITS.has(payment_method)
    : payment_method_types.length && payment_method_types.every((type) => WITHOUT_ACTION.has(type));
  return isDebit ? "payment_debit" : "payment_pending";
}

function showState(state) {
  if (byId("order").dataset.status === state) return; // a screen reader would read the same text again
  const texts = STATES[state] ?? [state.replaceAll("_", " "), "Thank you.", ""];
  ["badge", "headline", "explanation"].forEach((id, index) => { byId(id).textContent = texts[index]; });
  byId("order").dataset.status = state;
}

function showReceipt(order) {
  byId("number").textContent = order.number;
  byId("lines").replaceChildren(...order.lines.map(({ quantity, name, amount_subtotal }) =>
    copyTemplate("line", { quantity: `${quantity} ×`, name, sum: formatMoney(amount_subtotal, order.paid_currency) }).node));
  showSums(byId("sums"), order);
  byId("parcels").replaceChildren(...(order.shipments ?? []).map(parcel));
  byId("receipt").hidden = false;
}

function parcel({ carrier, tracking, tracking_url }) {
  const shipped = `Shipped${carrier ? ` with ${carrier}` : ""}${tracking ? "," : ""}`;
  const { node, parts } = copyTemplate("parcel", { shipped, tracking });
  if (tracking_url) parts.tracking.href = tracking_url;
  return node;
}

if (sessionId) watchOrder().catch((problem) => { byId("order-problem").textContent = problem.message; });
else showState("unknown");

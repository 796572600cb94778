import { call, settings } from "./api.js";
import { bought } from "./cart.js";
import { byId, copy } from "./dom.js";
import { money } from "./money.js";

const FIRST_MS = 500;
const LONGEST_MS = 10_000;
const LATE_MS = 60_000; // the page then says that it may be closed
const MAIL = "An e-mail will tell you; you may close this page.";

const STATES = {
  waiting: ["One moment", "Thank you.", "We are waiting for the payment's confirmation."],
  late: ["One moment", "Thank you.", `This takes longer than usual. ${MAIL}`],
  open: ["Confirming", "Thank you.", "We are confirming your payment."],
  payment_pending: ["Payment pending", "Thank you. Your bank is on it.", `Bank debit takes some days. Your pieces are reserved. ${MAIL}`],
  paid: ["Paid", "Thank you, it is yours.", "The payment has arrived and we are packing."],
  checked: ["Paid, being checked", "Thank you.", "The payment has arrived. We are having one more look at the order and will write to you."],
  partial: ["Partly on its way", "The first parcel is on its way.", "The rest follows in another one."],
  fulfilled: ["On its way", "Your parcel is on its way.", "Thank you for waiting."],
  refunded: ["Refunded", "We have sent your money back.", "Depending on your bank it takes some days to arrive."],
  payment_failed: ["Payment failed", "The payment did not go through.", "Nothing was charged and the order is off. Your bank can tell you why."],
  expired: ["Expired", "This order has lapsed.", "It was not paid in time. Nothing was charged."],
  canceled: ["Canceled", "This order was canceled.", "Nothing was charged."],
};
const MOVING = new Set(["waiting", "open", "payment_pending", "checked"]);
const GONE = new Set(["payment_failed", "expired", "canceled"]);

const session = new URLSearchParams(location.search).get("session_id");

async function watch() {
  const { orders_url } = await settings();
  const started = Date.now();
  for (let pause = FIRST_MS; ; pause = Math.min(pause * 1.5, LONGEST_MS)) {
    if (!MOVING.has(await look(orders_url, Date.now() - started > LATE_MS))) return;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

async function look(ordersUrl, late) {
  try {
    const order = await call(`${ordersUrl}/orders/by-session/${encodeURIComponent(session)}`);
    byId("order-problem").textContent = "";
    return show(order);
  } catch (problem) {
    byId("order-problem").textContent = problem.status === 404 ? "" : `${problem.message} This page keeps trying.`;
    if (late && problem.status === 404) announce("late");
    return "waiting";
  }
}

function show(order) {
  const state = stateOf(order);
  if (state !== "open" && !GONE.has(state)) bought(session);
  announce(state);
  showReceipt(order);
  return state;
}

/** What happened last to a paid order: money sent back, a parcel on its way, or nothing yet. */
function stateOf(order) {
  if (order.status !== "paid") return order.status;
  if (order.refund_status === "full") return "refunded";
  if (order.needs_review) return "checked";
  return order.fulfillment_status === "unfulfilled" ? "paid" : order.fulfillment_status;
}

function announce(state) {
  if (byId("order").dataset.status === state) return; // a screen reader repeats what is written again
  const words = STATES[state] ?? [state.replaceAll("_", " "), "Thank you.", ""];
  ["badge", "headline", "explanation"].forEach((id, index) => { byId(id).textContent = words[index]; });
  byId("order").dataset.status = state;
}

function showReceipt(order) {
  const amount = (minor) => money(minor, order.currency);
  const sums = [["Subtotal", order.amount_subtotal], ["Discount", -order.amount_discount], ["Shipping", order.amount_shipping],
    ["Tax", order.amount_tax], ["Total", order.amount_total]].filter(([label, minor]) => minor || label === "Total");
  const returned = order.amount_refunded ? [["Refunded", -order.amount_refunded]] : [];
  byId("number").textContent = order.number;
  byId("lines").replaceChildren(...order.lines.map(({ quantity, name, amount_total }) =>
    copy("line", { quantity: `${quantity} ×`, name, sum: amount(amount_total) }).node));
  const rows = [...sums, ...returned].map(([label, minor]) => copy("sum", { label, amount: amount(minor) }).node);
  rows[sums.length - 1].className = "total";
  byId("sums").replaceChildren(...rows);
  byId("parcels").replaceChildren(...(order.shipments ?? []).map(parcel));
  byId("receipt").hidden = false;
}

function parcel({ carrier, tracking, tracking_url }) {
  const { node, parts } = copy("parcel", { what: `Shipped${carrier ? ` with ${carrier}` : ""}${tracking ? "," : ""}`, tracking });
  if (tracking_url) parts.tracking.href = tracking_url;
  return node;
}

if (session) watch().catch((problem) => { byId("order-problem").textContent = problem.message; });
else byId("order-problem").textContent = "This address names no order.";

import { copyTemplate } from "./dom.js";
import { formatMoney } from "./money.js";

/** Shows an order's sums in a list. Its amounts are what Stripe charged, or what was agreed before that. */
export function showSums(list, order) {
  list.replaceChildren(...sumsOf(order).map(([label, amount]) => {
    const { node } = copyTemplate("sum", { label, amount });
    node.classList.toggle("total", label === "Total");
    return node;
  }));
}

/** Returns [label, text] of each sum: the parts of the total, the total, and then what else is known. */
function sumsOf(order) {
  const amount = (minor) => formatMoney(minor, order.currency);
  const beforeTax = order.amount_subtotal - order.amount_discount + order.amount_shipping;
  const addedTax = order.amount_tax && Math.max(0, order.amount_total - beforeTax);
  const sums = [["Subtotal", order.amount_subtotal], ["Discount", -order.amount_discount], ["Shipping", order.amount_shipping],
    ["Tax", addedTax], ["Total", order.amount_total]].filter(([label, minor]) => minor || label === "Total");
  const includedTax = order.amount_tax > addedTax ? [["incl. VAT", amount(order.amount_tax - addedTax)]] : [];
  const statement = order.presentment_amount
    ? [["On the bank statement", formatMoney(order.presentment_amount, order.presentment_currency)]] : [];
  const isPaidOtherwise = order.amount_paid && order.amount_paid !== order.amount_total; // twice, for example
  const paid = isPaidOtherwise ? [["Paid", formatMoney(order.amount_paid, order.paid_currency)]] : [];
  const refunds = order.amount_refunded ? [["Refunded", formatMoney(-order.amount_refunded, order.paid_currency)]] : [];
  return [...sums.map(([label, minor]) => [label, amount(minor)]), ...includedTax, ...statement, ...paid, ...refunds];
}

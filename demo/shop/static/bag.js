import { cart, keep, pieces, put, quantity } from "./cart.js";
import { byId, copy, refill } from "./dom.js";
import { money } from "./money.js";

const MOST = 20; // of one piece, as the checkout allows
const SIGNS = { fewer: "−", more: "+", remove: "Remove" };
let products = new Map();
let options = [];

export function stockBag(list, shippingOptions) {
  products = new Map(list.map((product) => [product.sku, product]));
  options = shippingOptions;
  const kept = Object.entries(cart.items).filter(([sku]) => products.has(sku));
  keep({ items: Object.fromEntries(kept) }); // what the shop no longer sells cannot be bought
  showBag();
}

/** problems: {sku: sentence} of the lines that could not be had */
export function showBag(problems = {}) {
  const wanted = Object.keys(cart.items).map((sku) => products.get(sku));
  byId("bag-count").textContent = pieces();
  refill(byId("lines"), wanted.map((product) => line(product, problems[product.sku])));
  for (const id of ["details", "summary"]) byId(id).hidden = wanted.length === 0;
  byId("bag-empty").hidden = wanted.length > 0;
  showSums(wanted.reduce((sum, { sku, unit_amount }) => sum + unit_amount * quantity(sku), 0));
  if (byId("bag").open && document.activeElement === document.body) byId("close-bag").focus();
}

function line({ sku, name, image, unit_amount, currency, available }, problem) {
  const count = quantity(sku);
  const unit = `${money(unit_amount, currency)} each`;
  const words = { name, unit, problem, quantity: count, sum: money(unit_amount * count, currency), ...SIGNS };
  const { node, parts } = copy("line", words);
  node.dataset.sku = sku;
  parts.image.src = image ?? "";
  node.querySelector("[role=group]").setAttribute("aria-label", `Quantity of ${name}`);
  for (const [part, label, to] of [["fewer", "One fewer of", count - 1], ["more", "One more of", count + 1], ["remove", "Remove", 0]]) {
    parts[part].id = `${part}-${sku}`;
    parts[part].setAttribute("aria-label", `${label} ${name}`);
    parts[part].addEventListener("click", () => {
      put(sku, to);
      showBag();
    });
  }
  parts.more.disabled = count >= Math.min(available ?? MOST, MOST);
  return node;
}

function showSums(subtotal) {
  const offered = options.filter((option) => cart.currency in option.amounts);
  const option = offered.find(({ id }) => id === cart.shipping_option) ?? offered[0];
  const shipping = option ? shippingAmount(option, subtotal) : 0;
  const words = (minor) => minor ? money(minor, cart.currency) : "Free";
  keep({ shipping_option: option?.id ?? null });
  refill(byId("shipping"), offered.map((offer) => choice(offer, words(shippingAmount(offer, subtotal)), offer === option)));
  byId("subtotal").textContent = money(subtotal, cart.currency);
  byId("shipping-amount").textContent = words(shipping);
  byId("total").textContent = money(subtotal + shipping, cart.currency);
}

const shippingAmount = ({ amounts, free_from }, subtotal) =>
  subtotal >= (free_from?.[cart.currency] ?? Infinity) ? 0 : amounts[cart.currency];

function choice({ id, name }, amount, checked) {
  const { node } = copy("option", { name, amount });
  const input = node.querySelector("input");
  Object.assign(input, { value: id, id: `shipping-${id}`, checked });
  input.addEventListener("change", () => {
    keep({ shipping_option: id });
    showBag();
  });
  return node;
}

import { cart, countItems, quantityOf, setQuantity, updateCart } from "./cart.js";
import { byId, copyTemplate, replaceItems } from "./dom.js";
import { formatMoney } from "./money.js";

const MAX_QUANTITY = 20; // of one SKU, the checkout's limit
const BUTTON_TEXTS = { fewer: "−", more: "+", remove: "Remove" };
let products = new Map();
let shippingOptions = [];

/** Sets what the shop sells, and removes from the bag what it no longer sells. */
export function setProducts(list, options) {
  products = new Map(list.map((product) => [product.sku, product]));
  shippingOptions = options;
  const sold = Object.entries(cart.items).filter(([sku]) => products.has(sku));
  updateCart({ items: Object.fromEntries(sold) });
  showBag();
}

/** Shows the bag. `problems` has a sentence by SKU for each line that is not available. */
export function showBag(problems = {}) {
  const chosen = Object.keys(cart.items).map((sku) => products.get(sku));
  byId("bag-count").textContent = countItems();
  replaceItems(byId("lines"), chosen.map((product) => line(product, problems[product.sku])));
  for (const id of ["details", "summary"]) byId(id).hidden = chosen.length === 0;
  byId("bag-empty").hidden = chosen.length > 0;
  showSums(chosen.reduce((sum, { sku, unit_amount }) => sum + unit_amount * quantityOf(sku), 0));
  if (byId("bag").open && document.activeElement === document.body) byId("close-bag").focus();
}

function line({ sku, name, image, unit_amount, currency, available }, problem) {
  const count = quantityOf(sku);
  const unit = `${formatMoney(unit_amount, currency)} each`;
  const texts = { name, unit, problem, quantity: count, sum: formatMoney(unit_amount * count, currency), ...BUTTON_TEXTS };
  const { node, parts } = copyTemplate("line", texts);
  node.dataset.sku = sku;
  parts.image.src = image ?? "";
  node.querySelector("[role=group]").setAttribute("aria-label", `Quantity of ${name}`);
  for (const [part, label, to] of [["fewer", "One fewer of", count - 1], ["more", "One more of", count + 1], ["remove", "Remove", 0]]) {
    parts[part].id = `${part}-${sku}`;
    parts[part].setAttribute("aria-label", `${label} ${name}`);
    parts[part].addEventListener("click", () => {
      setQuantity(sku, to);
      showBag();
    });
  }
  parts.more.disabled = count >= Math.min(available ?? MAX_QUANTITY, MAX_QUANTITY);
  return node;
}

function showSums(subtotal) {
  const offered = shippingOptions.filter((option) => cart.currency in option.amounts);
  const option = offered.find(({ id }) => id === cart.shipping_option) ?? offered[0];
  const shipping = option ? shippingAmount(option, subtotal) : 0;
  const shippingText = (minor) => minor ? formatMoney(minor, cart.currency) : "Free";
  updateCart({ shipping_option: option?.id ?? null });
  replaceItems(byId("shipping"), offered.map((offer) => choice(offer, shippingText(shippingAmount(offer, subtotal)), offer === option)));
  byId("subtotal").textContent = formatMoney(subtotal, cart.currency);
  byId("shipping-amount").textContent = shippingText(shipping);
  byId("total").textContent = formatMoney(subtotal + shipping, cart.currency);
}

const shippingAmount = ({ amounts, free_from }, subtotal) =>
  subtotal >= (free_from?.[cart.currency] ?? Infinity) ? 0 : amounts[cart.currency];

function choice({ id, name }, amount, checked) {
  const { node } = copyTemplate("option", { name, amount });
  const input = node.querySelector("input");
  Object.assign(input, { value: id, id: `shipping-${id}`, checked });
  input.addEventListener("change", () => {
    updateCart({ shipping_option: id });
    showBag();
  });
  return node;
}

import { quantityOf, setQuantity } from "./cart.js";
import { byId, copyTemplate, replaceItems } from "./dom.js";
import { formatMoney } from "./money.js";

const LOW_STOCK = 5; // up to this number, the page shows how many pieces are left
const LETTER_SIZES = ["XS", "S", "M", "L", "XL", "XXL"];
const chosen = new Map(); // style -> SKU, so that a refresh keeps the customer's choice

/** Shows one card for each style. `onAdded` gets a message after each click on "Add to bag". */
export function showGrid(products, onAdded) {
  const styles = Map.groupBy(products, (product) => product.group ?? product.name);
  replaceItems(byId("grid"), [...styles].map(([name, sizes]) => card(name, sizes.sort(bySize), onAdded)));
  byId("grid").setAttribute("aria-busy", "false");
}

const rank = ({ size }) => LETTER_SIZES.includes(size) ? LETTER_SIZES.indexOf(size) : Number.parseInt(size, 10) || 0;
const bySize = (one, other) => rank(one) - rank(other);
const isSoldOut = (product) => product.available === 0;

function card(name, sizes, onAdded) {
  let product = sizes.find(({ sku }) => sku === chosen.get(name)) ?? sizes.find((size) => !isSoldOut(size)) ?? sizes[0];
  const { node, parts } = copyTemplate("product", { name, description: product.description, legend: `Size of ${name}` });

  function show() {
    const { sku, available, unit_amount, currency } = product;
    node.dataset.sku = sku;
    parts.price.textContent = formatMoney(unit_amount, currency);
    parts.stock.textContent = stockText(available);
    parts.stock.classList.toggle("few", available > 0 && available <= LOW_STOCK);
    parts.add.textContent = isSoldOut(product) ? "Sold out" : "Add to bag";
    parts.add.disabled = isSoldOut(product);
    parts.add.setAttribute("aria-label", `${parts.add.textContent}: ${product.name}`);
  }

  node.classList.toggle("gone", sizes.every(isSoldOut));
  parts.image.src = product.image ?? "";
  parts.add.id = `add-${product.sku}`;
  parts.add.addEventListener("click", () => onAdded(addOne(product)));
  parts.legend.after(...sizes.map((size) => sizeChoice(size, name, size === product, () => {
    chosen.set(name, size.sku);
    product = size;
    show();
  })));
  show();
  return node;
}

function sizeChoice({ sku, size, available }, name, checked, onChosen) {
  const { node } = copyTemplate("size", { size: size ?? "One size" });
  const input = node.querySelector("input");
  Object.assign(input, { name, checked, id: `size-${sku}`, value: sku });
  input.addEventListener("change", onChosen);
  node.classList.toggle("gone", available === 0);
  if (available === 0) input.setAttribute("aria-label", `${size}, sold out`);
  return node;
}

function stockText(available) {
  if (available === null) return "";
  if (available === 0) return "Sold out";
  return available <= LOW_STOCK ? `${available} left` : "In stock";
}

function addOne({ sku, name, available }) {
  if (available !== null && quantityOf(sku) >= available) return `Your bag already has all that is left of ${name}.`;
  setQuantity(sku, quantityOf(sku) + 1);
  return `${name} is in your bag.`;
}

import { put, quantity } from "./cart.js";
import { byId, copy, refill } from "./dom.js";
import { money } from "./money.js";

const FEW = 5; // up to here the number itself helps the customer decide
const LETTERS = ["XS", "S", "M", "L", "XL", "XXL"];
const chosen = new Map(); // style -> sku, so that a refreshed grid keeps the customer's choice

export function showGrid(products, added) {
  const styles = Map.groupBy(products, (product) => product.group ?? product.name);
  refill(byId("grid"), [...styles].map(([name, sizes]) => card(name, sizes.sort(bySize), added)));
  byId("grid").setAttribute("aria-busy", "false");
}

const rank = ({ size }) => LETTERS.includes(size) ? LETTERS.indexOf(size) : Number.parseInt(size, 10) || 0;
const bySize = (one, other) => rank(one) - rank(other);
const soldOut = (product) => product.available === 0;

function card(name, sizes, added) {
  let product = sizes.find(({ sku }) => sku === chosen.get(name)) ?? sizes.find((size) => !soldOut(size)) ?? sizes[0];
  const { node, parts } = copy("product", { name, description: product.description, legend: `Size of ${name}` });

  function show() {
    const { sku, available, unit_amount, currency } = product;
    node.dataset.sku = sku;
    parts.price.textContent = money(unit_amount, currency);
    parts.stock.textContent = stockWords(available);
    parts.stock.classList.toggle("few", available > 0 && available <= FEW);
    parts.add.textContent = soldOut(product) ? "Sold out" : "Add to bag";
    parts.add.disabled = soldOut(product);
    parts.add.setAttribute("aria-label", `${parts.add.textContent}: ${product.name}`);
  }

  node.classList.toggle("gone", sizes.every(soldOut));
  parts.image.src = product.image ?? "";
  parts.add.id = `add-${product.sku}`;
  parts.add.addEventListener("click", () => added(addOne(product)));
  parts.legend.after(...sizes.map((size) => sizeChoice(size, name, size === product, () => {
    chosen.set(name, size.sku);
    product = size;
    show();
  })));
  show();
  return node;
}

function sizeChoice({ sku, size, available }, name, checked, choose) {
  const { node } = copy("size", { size: size ?? "One size" });
  const input = node.querySelector("input");
  Object.assign(input, { name, checked, id: `size-${sku}`, value: sku });
  input.addEventListener("change", choose);
  node.classList.toggle("gone", available === 0);
  if (available === 0) input.setAttribute("aria-label", `${size}, sold out`);
  return node;
}

function stockWords(available) {
  if (available === null) return "";
  if (available === 0) return "Sold out";
  return available <= FEW ? `${available} left` : "In stock";
}

function addOne({ sku, name, available }) {
  if (available !== null && quantity(sku) >= available) return `All that is left of ${name} is in your bag already.`;
  put(sku, quantity(sku) + 1);
  return `${name} is in your bag.`;
}

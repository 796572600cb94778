const CART_KEY = "clozit.cart";
const ATTEMPT_KEY = "clozit.attempt";

const read = (storage, key) => JSON.parse(storage.getItem(key) ?? "null");
const write = (storage, key, value) => storage.setItem(key, JSON.stringify(value));

/** The customer's cart: {items: {sku: quantity}, currency, shipping_option}. It is kept when the tab closes. */
export const cart = { items: {}, currency: null, shipping_option: null, ...read(localStorage, CART_KEY) };

export const quantityOf = (sku) => cart.items[sku] ?? 0;
export const countItems = () => Object.values(cart.items).reduce((sum, count) => sum + count, 0);

/** Loads the changes that another tab made. */
export const reloadCart = () => Object.assign(cart, read(localStorage, CART_KEY));

export function updateCart(changes) {
  Object.assign(cart, changes);
  write(localStorage, CART_KEY, cart);
}

export function setQuantity(sku, count) {
  const { [sku]: _, ...others } = cart.items;
  updateCart({ items: count > 0 ? { ...cart.items, [sku]: count } : others });
}

/** Empties the bag once after its session is paid. A newer bag does not change. */
export function emptyPaidBag(session_id) {
  if (read(sessionStorage, ATTEMPT_KEY)?.session_id !== session_id) return;
  updateCart({ items: {} });
  clearAttempt();
}

/** Returns the stored attempt to buy this order, or stores a new one. Each attempt has one idempotency key, so a
 *  double click or a reload gets the same session. `replaced` is the checkout of an earlier order that is not paid.
 *  It may reserve items that this order needs. */
export function getOrCreateAttempt(order) {
  const orderJson = JSON.stringify(order);
  const last = read(sessionStorage, ATTEMPT_KEY);
  const isOpen = !last?.expires_at || Date.parse(last.expires_at) > Date.now();
  if (last?.order === orderJson && isOpen) return last;
  const next = { order: orderJson, key: crypto.randomUUID(), replaced: last?.checkout_id ?? last?.replaced };
  write(sessionStorage, ATTEMPT_KEY, next);
  return next;
}

export function storeSession({ checkout_id, session_id, expires_at }) {
  write(sessionStorage, ATTEMPT_KEY, { ...read(sessionStorage, ATTEMPT_KEY), checkout_id, session_id, expires_at });
}

export const clearAttempt = () => sessionStorage.removeItem(ATTEMPT_KEY);

const CART = "clozit.cart";
const ATTEMPT = "clozit.attempt";

const read = (storage, key) => JSON.parse(storage.getItem(key) ?? "null");
const write = (storage, key, value) => storage.setItem(key, JSON.stringify(value));

/** What the customer wants: {items: {sku: quantity}, currency, shipping_option}. Outlives the tab. */
export const cart = { items: {}, currency: null, shipping_option: null, ...read(localStorage, CART) };

export const quantity = (sku) => cart.items[sku] ?? 0;
export const pieces = () => Object.values(cart.items).reduce((sum, count) => sum + count, 0);

export function keep(changes) {
  Object.assign(cart, changes);
  write(localStorage, CART, cart);
}

export function put(sku, count) {
  const { [sku]: _, ...others } = cart.items;
  keep({ items: count > 0 ? { ...cart.items, [sku]: count } : others });
}

export function bought() {
  keep({ items: {} });
  forgetAttempt();
}

/** The idempotency key of this very order: a double click or a reload asks for the same session again. */
export function attemptKey(order) {
  const wanted = JSON.stringify(order);
  const last = read(sessionStorage, ATTEMPT);
  const alive = !last?.expires_at || Date.parse(last.expires_at) > Date.now();
  if (last?.wanted === wanted && alive) return last.key;
  const key = crypto.randomUUID();
  write(sessionStorage, ATTEMPT, { wanted, key });
  return key;
}

export function attemptLasts(expires_at) {
  write(sessionStorage, ATTEMPT, { ...read(sessionStorage, ATTEMPT), expires_at });
}

export const forgetAttempt = () => sessionStorage.removeItem(ATTEMPT);

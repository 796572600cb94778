// Stripe's exponents differ from ISO 4217 for some currencies: it counts ISK and UGX in hundredths, although they have
// no smaller unit. https://docs.stripe.com/currencies#minor-units
const ZERO_DECIMAL = new Set("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" "));
const THREE_DECIMAL = new Set("bhd jod kwd omr tnd".split(" "));

/** Returns the number of decimals in a currency's amounts. */
export function exponent(currency) {
  if (ZERO_DECIMAL.has(currency)) return 0;
  return THREE_DECIMAL.has(currency) ? 3 : 2;
}

/** Returns an amount in minor units as text. */
export function formatMoney(minor, currency, locale = document.documentElement.lang) {
  const amount = minor / 10 ** exponent(currency);
  return new Intl.NumberFormat(locale, { style: "currency", currency }).format(amount);
}

// Stripe's own exponents, which differ from ISO 4217 for some: ISK and UGX are counted in hundredths
// although nobody has coins for them. https://docs.stripe.com/currencies#minor-units
const WHOLE = new Set("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" "));
const THOUSANDTHS = new Set("bhd jod kwd omr tnd".split(" "));

export function exponent(currency) {
  if (WHOLE.has(currency)) return 0;
  return THOUSANDTHS.has(currency) ? 3 : 2;
}

export function money(minor, currency, locale = document.documentElement.lang) {
  const amount = minor / 10 ** exponent(currency);
  return new Intl.NumberFormat(locale, { style: "currency", currency }).format(amount);
}

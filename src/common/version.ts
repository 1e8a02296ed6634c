declare const KEMARI_VERSION: string | undefined;

/** From package.json, put in by the bundler. */
export const version = typeof KEMARI_VERSION === 'undefined' ? '0.0.0' : KEMARI_VERSION;

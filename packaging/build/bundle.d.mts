export function bundle(outfile: string): Promise<void>;

export function bundle(outfile: string): Promise<{ main: string[]; program: string[] }>;

// Puts what `npm run build` made on every node of a lab, as on a real host, and the guest's image with it.
import type { Lab } from '../lab.js';

const IMAGES = '/var/lib/kemari/images';

export const GUEST_KERNEL = `${IMAGES}/vmlinuz`;
export const GUEST_INITRD = `${IMAGES}/initrd.gz`;

export async function installKemari(lab: Lab): Promise<void> {
  await Promise.all(
    lab.nodes.map(async (name) => {
      const node = lab.node(name);
      await node.run(['bash', '/run/project/packaging/install.sh']);
      await node.run(['install', '-D', '-m', '644', '/run/project/cache/guest/vmlinuz', GUEST_KERNEL]);
      await node.run(['install', '-D', '-m', '644', '/run/project/cache/guest/initrd.gz', GUEST_INITRD]);
    }),
  );
}

// Puts what `npm run build` made on every node of a lab, as on a real host, and the guest's image with it.
import type { Lab } from '../lab.js';

/** Where the key lies that both hosts share. */
export const SYNC_KEY = '/etc/kemari/sync.key';

/** The agent, where Pacemaker looks for it. */
export const AGENT = '/usr/lib/ocf/resource.d/kemari/vm';

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
  await shareKey(lab);
}

/** `kemari keygen` on the first host, and the file copied to the others, as the manual says. */
export async function shareKey(lab: Lab): Promise<void> {
  const [first, ...others] = lab.nodes;
  if (first === undefined) return;
  await lab.node(first).run(['kemari', 'keygen', '--force']);
  const key = await lab.node(first).run(['cat', SYNC_KEY]);
  await Promise.all(
    others.map(async (name) => {
      const node = lab.node(name);
      // Nobody else can read it at any moment.
      await node.run(['install', '-D', '-m', '600', '/dev/null', SYNC_KEY]);
      await node.run(['tee', SYNC_KEY], { input: key });
    }),
  );
}

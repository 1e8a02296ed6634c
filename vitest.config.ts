import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          // The lab and its stories need root, QEMU and a cluster: the project `system`.
          exclude: ['test/lab/**', 'test/scenarios/**', 'test/guest/**'],
          globalSetup: ['test/fixtures/bundle.ts'],
          // They wait for processes more than they compute.
          maxWorkers: 4,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          retry: 0,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/lab/**/*.test.ts', 'test/scenarios/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          retry: 0,
        },
      },
    ],
  },
});

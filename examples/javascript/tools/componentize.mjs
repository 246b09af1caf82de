// Makes a component of route.js, or another module: `node componentize.mjs ENGINE MODULE.js OUT.wasm WIT WORLD`.
// Runs in the folder of the module: the tool chains find what it imports from there.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const [engine, entry, out, witPath, world] = process.argv.slice(2);

/** SpiderMonkey, without what imports WASI: a module has no clock, no randomness, no output. */
async function withSpiderMonkey() {
  const { componentize } = await import('@bytecodealliance/componentize-js');
  const disableFeatures = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
  const { component } = await componentize({ sourcePath: entry, witPath, worldName: world, disableFeatures });
  return component;
}

async function withQuickJs() {
  const { componentize } = await import('componentize-qjs');
  const jsSource = await readFile(entry, 'utf8');
  const { component } = await componentize({
    witPath, jsSource, jsPath: resolve(entry), moduleRoot: process.cwd(), world, sync: true, stubWasi: true,
  });
  return component;
}

const component = await (engine === 'quickjs' ? withQuickJs() : withSpiderMonkey());
await mkdir(dirname(out), { recursive: true });
// Whoever finds the file finds all of it.
await writeFile(`${out}.part`, component);
await rename(`${out}.part`, out);
console.error(`${out}: ${Math.round(component.length / 1024)} KiB`);

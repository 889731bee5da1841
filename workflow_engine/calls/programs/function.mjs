// Run code as the body of an async function: `node function.mjs CODE ARGUMENTS RESULT`, three files.
//
// ARGUMENTS is a JSON object whose members are the function's arguments; what it returns is written to RESULT as JSON.
// The code may use `await`, `import()` and `require()`. CODE becomes the module that it is run as.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [code, argumentsFile, resultFile] = process.argv.slice(2);
const module = pathToFileURL(code);
const given = { require: createRequire(module), ...JSON.parse(readFileSync(argumentsFile, 'utf8')) };
const head = `export default async function script(${Object.keys(given).join(', ')}) {`;
writeFileSync(code, `${head}${readFileSync(code, 'utf8')}\n}\n`);
const { default: script } = await import(module);
const value = await script(...Object.values(given));
const result = value === undefined ? 'null' : JSON.stringify(value);
if (result === undefined) throw new TypeError('the value that the script returned cannot be written as JSON');
writeFileSync(resultFile, result);

// Run code as the body of an async function: `node function.mjs CODE ARGUMENTS RESULT`, three files.
//
// ARGUMENTS is a JSON object whose members are the function's arguments, and the options of its `process.argv`; what it
// returns is written to RESULT as JSON. Code without `return` is a program: that is what it prints then.
// The code may use `await`, `import()` and `require()`. CODE becomes the module that it is run as.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [code, argumentsFile, resultFile] = process.argv.slice(2);
const module = pathToFileURL(code);
const members = JSON.parse(readFileSync(argumentsFile, 'utf8'));
const given = { require: createRequire(module), ...members };
const text = readFileSync(code, 'utf8');
const head = `export default async function script(${Object.keys(given).join(', ')}) {`;
writeFileSync(code, `${head}${text}\n}\n`);
const options = Object.entries(members).flatMap(([name, value]) =>
  value === null || value === false ? [] :
    value === true ? [`--${name}`] : [`--${name}`, typeof value === 'string' ? value : JSON.stringify(value)]);
process.argv.splice(1, process.argv.length, code, ...options);
const prints = !/\breturn\b/.test(text);
let printed = '';
if (prints) process.stdout.write = chunk => Boolean(printed += chunk);
const { default: script } = await import(module);
const returned = await script(...Object.values(given));
const value = prints ? printed || null : returned;
const result = value === undefined ? 'null' : JSON.stringify(value);
if (result === undefined) throw new TypeError('the value that the script returned cannot be written as JSON');
writeFileSync(resultFile, result);

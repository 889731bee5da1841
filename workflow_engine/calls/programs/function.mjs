// Run code as the body of an async function: `node function.mjs CODE ARGUMENTS RESULT`, three files.
//
// ARGUMENTS is a JSON object whose members are the function's arguments; what it returns is written to RESULT as JSON.
// The code may use `await`, `import()` and `require()`.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';

const [code, argumentsFile, resultFile] = process.argv.slice(2);
const given = { require: createRequire(pathToFileURL(code)), ...JSON.parse(readFileSync(argumentsFile, 'utf8')) };
const text = readFileSync(code, 'utf8');
const source = `(async function script(${Object.keys(given).join(', ')}) {${text}\n})`;
const script = vm.runInThisContext(source, {
  filename: code,
  importModuleDynamically: (specifier) => import(specifier),
});
const value = await script(...Object.values(given));
const result = value === undefined ? 'null' : JSON.stringify(value);
if (result === undefined) throw new TypeError('the value that the script returned cannot be written as JSON');
writeFileSync(resultFile, result);

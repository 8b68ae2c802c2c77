// Runs cases (a JSON object on each line of standard input) through the Node library, which is the argument, and prints
// what each gives. The current directory is that of the package.
'use strict';

const fs = require('fs');
const path = require('path');

const library = path.resolve(process.argv[2]);
const defaultFile = '/etc/stunnerd/stunnerd.conf';
if (fs.existsSync(defaultFile)) {
  throw new Error(`the cases take it that there is no ${defaultFile}`);
}

const oneLine = (text) =>
  text.replace(/[\u0000-\u001f]/g, (control) => '\\u' + control.charCodeAt(0).toString(16).padStart(4, '0'));

// Later versions of Node say where in the text, too.
const withoutLine = (text) => text.replace(/(in JSON at position \d+) \(line \d+ column \d+\)/, '$1');

function run({ function: name, options, env, now }, print) {
  process.env = env;
  Date.now = () => now * 1000;
  console.log = (...text) => print('log', text.join(' '));
  console.error = (...text) => print('error', text.join(' '));
  delete require.cache[require.resolve(library)];
  const lib = require(library);
  switch (name) {
    case 'ice-config': return lib.getIceConfig(options);
    case 'credentials': return lib.getStunnerCredentials(options);
    case 'parse': return JSON.parse(options);
    case 'longterm': {
      const { timeStamp, secret, realm, algorithm, encoding } = options;
      return lib.getLongtermForTimeStamp(timeStamp, secret, realm, algorithm, encoding);
    }
  }
}

const cases = fs.readFileSync(0, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
const output = [];
const known = new Map();
cases.forEach((one, index) => {
  const printed = [];
  // A line that was printed before is written as its number.
  const print = (kind, text) => {
    const line = `${kind} ${oneLine(withoutLine(text).toWellFormed())}`;
    printed.push(known.has(line) ? ` #${known.get(line)}\n` : ` #${known.size} ${line}\n`);
    if (!known.has(line)) known.set(line, known.size);
  };
  let outcome;
  try {
    const result = run(one, print);
    outcome = result === undefined ? 'undefined' : `value ${JSON.stringify(result)}`;
  } catch (error) {
    outcome = `throws ${oneLine(withoutLine(error.toString()))}`;
  }
  output.push(`${index + 1} ${outcome}\n`, ...printed);
});
process.stdout.write(output.join(''));

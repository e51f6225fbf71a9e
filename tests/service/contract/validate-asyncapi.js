// SPDX-License-Identifier: Apache-2.0
// node validate-asyncapi.js TOOLS FILE: what the AsyncAPI parser says of the file, payloads in protobuf included. Prints
// the channels, their messages and the fields of these as JSON; complaints go to standard error, with status 1.
const { createRequire } = require('module');
const tools = createRequire(process.argv[2] + '/package.json');
const { Parser, fromFile } = tools('@asyncapi/parser');
const { ProtoBuffSchemaParser } = tools('@asyncapi/protobuf-schema-parser');

async function main() {
  const parser = new Parser();
  parser.registerSchemaParser(ProtoBuffSchemaParser());
  const { document, diagnostics } = await fromFile(parser, process.argv[3]).parse();
  for (const one of diagnostics) console.error(`${one.path.join('.')}: ${one.message} (${one.code})`);
  if (!document || diagnostics.length) process.exit(1);
  const found = {};
  for (const channel of document.channels().all()) {
    found[channel.address()] = {};
    for (const message of channel.messages().all()) {
      found[channel.address()][message.name()] = Object.keys(message.payload().json().schema.properties);
    }
  }
  console.log(JSON.stringify(found));
}

main();

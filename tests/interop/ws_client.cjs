// A websocket client that is not ours (npm's ws, as Debian packages it):
//   NODE_PATH=/usr/share/nodejs node ws_client.cjs URL MESSAGE [MESSAGE...]
// Sends each message after the answer to the one before has ended, prints every event on a line. Exits with
// 0 when all were answered, 1 on a time-out or when the connection breaks, telling the close code.
'use strict';
const WebSocket = require('ws');

const [url, ...messages] = process.argv.slice(2);
const final = new Set(['response.completed', 'response.incomplete', 'response.failed', 'error']);
const socket = new WebSocket(url);
const timer = setTimeout(() => { console.error('timed out'); process.exit(1); }, 20000);

function next() {
  if (messages.length === 0) {
    clearTimeout(timer);
    socket.close();
    return;
  }
  socket.send(messages.shift());
}
socket.on('open', next);
socket.on('message', (data) => {
  const text = data.toString();
  console.log(text);
  if (final.has(JSON.parse(text).type)) next();
});
socket.on('close', (code) => {
  clearTimeout(timer);
  if (code !== 1000 && code !== 1005) { console.error(`closed with ${code}`); process.exit(1); }
  process.exit(0);
});
socket.on('error', (error) => { console.error(String(error)); process.exit(1); });

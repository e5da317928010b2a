// Speaks to the test's control server; the SDK under test has no part in this.
async function ask(method, path, document) {
  const answer = await fetch(process.env.CONTROL + path, {
    method,
    body: document === undefined ? undefined : JSON.stringify(document),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  const text = await answer.text();
  return text === "" ? undefined : JSON.parse(text);
}

module.exports = {
  received: (name, data) => ask("POST", `/received/${name}`, data),
  waitForEvent: (name, id) => ask("GET", `/received/${name}/${id}`),
  changeConfiguration: (backend, key, value) => ask("POST", `/configuration/${backend}`, { key, value }),
};

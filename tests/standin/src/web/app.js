// Loads what Appsmith's own front end loads of a page, draws its widgets, and runs what is to run on load.
//   /app/<app>/<page>-<page id>          as deployed
//   /app/<app>/<page>-<page id>/edit     the editor
"use strict";
const boot = JSON.parse(document.getElementById("boot").textContent);
const root = document.getElementById("root");

function element(kind, classes, text) {
  const made = document.createElement(kind);
  made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

function card(title, text, classes) {
  const box = element("section", "t--widget " + classes);
  box.append(element("strong", "", title), element("div", "", text));
  root.append(box);
  return box;
}

class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

// The data of an envelope, also of one inside another.
function open(envelope, status) {
  if (!envelope || !envelope.responseMeta) throw new Refused("no envelope", status);
  if (envelope.responseMeta.success) return envelope.data;
  throw new Refused(envelope.responseMeta.error.message, envelope.responseMeta.status);
}

async function call(path, options) {
  const answer = await fetch("/api/v1/" + path, options);
  if (answer.status === 401) throw new Refused("please log in", 401);
  return open(await answer.json(), answer.status);
}

async function loadPage(id, editing) {
  if (!boot.consolidated) return call(editing ? `pages/${id}` : `pages/${id}/view`);
  const whole = await call(`consolidated-api/${editing ? "edit" : "view"}?defaultPageId=${id}`);
  return open(whole.pageWithMigratedDsl);
}

async function runOnLoad(page, editing) {
  for (const group of page.layouts[0].layoutOnLoadActions || []) {
    await Promise.all(group.map(async action => {
      const form = new FormData();
      form.append("executeActionDTO", JSON.stringify({ actionId: action.id, viewMode: !editing, paramProperties: {} }));
      form.append("parameterMap", "{}");
      const options = { method: "POST", body: form, headers: { "X-Requested-By": "Appsmith" } };
      const result = await call("actions/execute", options);
      if (!result.isExecutionSuccess) card(action.name, result.readableError, "error t--toast");
    }));
  }
}

async function showPage(id, editing) {
  let page;
  try {
    page = await loadPage(id, editing);
  } catch (error) {
    const me = await call("users/me");
    // Missing, or not for strangers: a stranger is asked to log in, whichever it is.
    if (me.isAnonymous) return location.replace("/user/login?redirectUrl=" + encodeURIComponent(location.href));
    throw error;
  }
  document.title = page.name + (editing ? " | Editor" : "");
  root.replaceChildren();
  if (boot.fault === "blank-page") return;
  // The editor asks for the commit that an upgrade may need; nothing depends on it.
  if (editing) call("git/auto-commit/app/" + page.applicationId, { method: "POST", headers: { "X-Requested-By": "Appsmith" } }).catch(() => {});
  if (editing) root.append(element("div", "t--entity t--entity-explorer", "Pages, queries and JS objects"));
  const draw = widget => {
    const kind = widget.type.toLowerCase().replace(/_/g, "");
    card(widget.widgetName, widget.text || widget.type, `t--widget-${widget.widgetName} t--widget-${kind}`);
    (widget.children || []).forEach(draw);
  };
  (page.layouts[0].dsl.children || []).forEach(draw);
  await runOnLoad(page, editing);
  root.dataset.loaded = "true";
}

function showLogin() {
  root.replaceChildren();
  const form = element("form", "t--login");
  for (const name of ["username", "password"]) {
    const field = element("input", "");
    Object.assign(field, { name, type: name === "password" ? "password" : "email", placeholder: name, required: true });
    form.append(field);
  }
  form.append(element("button", "t--login-submit", "Sign in"));
  form.onsubmit = async event => {
    event.preventDefault();
    const options = { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "X-Requested-By": "Appsmith" } };
    await fetch("/api/v1/login", options);
    const me = await call("users/me");
    if (me.isAnonymous) return card("Sorry", "This login is refused.", "error");
    location.replace(new URLSearchParams(location.search).get("redirectUrl") || "/applications");
  };
  root.append(form);
}

async function show() {
  if (boot.fault === "console-error") setTimeout(() => { throw new Error("cannot read properties of undefined"); });
  if (location.pathname.startsWith("/user/login")) return showLogin();
  const found = location.pathname.match(/^\/app\/[^/]+\/.*?([0-9a-f]{24})(\/edit)?\/?$/);
  if (found) return showPage(found[1], Boolean(found[2]));
  root.replaceChildren();
  card("Ready", "This is a stand-in, not Appsmith.", "t--widget-textwidget");
}

show().catch(error => {
  root.replaceChildren();
  card("This page cannot be shown", error.message, "error");
  console.error(error);
});

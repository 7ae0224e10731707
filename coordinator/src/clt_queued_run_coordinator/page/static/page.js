// Renews the picture in place every few seconds, without moving focus, selection or scroll position.
"use strict";

(() => {
  const picture = document.querySelector("main[data-renew]");
  if (!picture) return;

  // Makes one element like another by touching only what differs.
  const renew = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.isEqualNode(fresh) || old.matches("form")) return; // what somebody is typing stays
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const olds = [...old.childNodes], freshes = [...fresh.childNodes];
    freshes.forEach((child, place) => (place < olds.length ? renew(olds[place], child) : old.append(child)));
    olds.slice(freshes.length).forEach((child) => child.remove());
  };

  const tell = (text) => {
    let trouble = picture.querySelector(".trouble");
    if (!trouble) {
      trouble = document.createElement("p");
      trouble.className = "trouble";
      trouble.setAttribute("role", "status");
      picture.prepend(trouble);
    }
    trouble.textContent = text;
  };

  let read = Date.now();
  const look = async () => {
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(15000) });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("picture");
      if (!fresh) throw new Error(`it answered ${answer.status}`);
      renew(picture, document.importNode(fresh, true));
      read = Date.now();
    } catch {
      tell(`This page's server doesn't answer. This is the picture of ${Math.round((Date.now() - read) / 1000)} s ago.`);
    }
  };

  const seconds = Number(picture.dataset.renew);
  setInterval(() => document.hidden || look(), seconds * 1000);
  document.addEventListener("visibilitychange", () => document.hidden || look());
})();

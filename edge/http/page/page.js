"use strict";
// Everything that comes from the daemon is put in as text, never as HTML: a label may hold anything.

const STATE_EVERY_MS = 500;
const shown = (root, name) => root.querySelector(`[data-show="${name}"]`);
const cards = new Map(
  [...document.querySelectorAll("article")].map((card) => [card.dataset.camera, card]),
);

function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function age(seconds) {
  if (seconds === null) return "no frame yet";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms old` : `${duration(seconds)} old`;
}

function setText(root, name, text) {
  const element = shown(root, name);
  const value = text ?? "";
  if (element.textContent !== value) element.textContent = value;
  element.hidden = value === "";
}

function showCounts(list, counts) {
  const items = Object.entries(counts)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([label, count]) => {
      const item = document.createElement("li");
      const number = document.createElement("b");
      number.textContent = count;
      item.append(label, number);
      return item;
    });
  list.replaceChildren(...items);
}

function showPicture(card, camera) {
  const image = card.querySelector("img");
  if (camera.frame_id === null) {
    image.removeAttribute("src"); // switched off: what it saw goes from the page too
    delete image.dataset.frame;
    return;
  }
  const frame = String(camera.frame_id);
  // One request at a time a camera: a slow line gets fewer pictures, not a queue of them.
  if (image.dataset.frame === frame || !image.complete) return;
  image.dataset.frame = frame;
  image.src = `cameras/${encodeURIComponent(camera.id)}/snapshot.jpg?frame=${frame}`;
}

function showCamera(camera) {
  const card = cards.get(camera.id);
  card.dataset.state = camera.state;
  setText(card, "state", camera.state);
  setText(card, "reason", camera.reason);
  const off = camera.state === "disabled";
  setText(card, "fps", off ? "" : `${camera.fps.toFixed(1)} fps`);
  setText(card, "age", off ? "" : age(camera.age_s));
  setText(card, "size", camera.size && `${camera.size[0]}×${camera.size[1]}`);
  setText(card, "decoder", camera.decoder && `decoder ${camera.decoder}`);
  setText(card, "source", camera.source);
  showCounts(shown(card, "counts"), camera.counts);
}

function notice(text) {
  const element = document.getElementById("notice");
  element.textContent = text;
  element.hidden = text === "";
}

function show(state) {
  setText(document, "version", `rfdetr-edge ${state.version}`);
  setText(document, "model", state.model ?? "loading the model");
  setText(document, "inference_fps", `${state.inference_fps.toFixed(1)} fps`);
  setText(document, "mqtt", state.mqtt_connected ? "connected" : "not connected");
  shown(document, "mqtt").className = state.mqtt_connected ? "good" : "bad";
  setText(document, "uptime", duration(state.uptime_s));
  notice(state.ready ? "" : `Not ready: ${state.reason ?? "no reason given"}`);
  state.cameras.forEach(showCamera);
}

async function refresh() {
  const answer = await fetch("cameras", { cache: "no-store" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const state = await answer.json();
  if (state.cameras.length !== cards.size || state.cameras.some(({ id }) => !cards.has(id))) {
    location.reload(); // the configuration has changed
    return;
  }
  show(state);
  state.cameras.forEach((camera) => showPicture(cards.get(camera.id), camera));
}

async function turn() {
  if (!document.hidden) {
    try {
      await refresh();
    } catch {
      notice("No answer from the daemon. What you see is old.");
    }
  }
  setTimeout(turn, STATE_EVERY_MS);
}

show(JSON.parse(document.getElementById("state").textContent));
setTimeout(turn, STATE_EVERY_MS);

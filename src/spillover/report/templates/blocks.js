"use strict";
// What the items and the explorer share: blocks of packed data, and elements that hold text alone.
const unpack = (() => {
  const unpacked = new Map(); // block → promise of its content
  const waiting = new Map(); // path of a file → what takes its data
  window.unpackBlock = (file, data) => waiting.get(file)?.(data);

  // A page opened as a file may not fetch the files beside it, but may run them.
  const load = (file) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(file, resolve);
    script.onload = script.onerror = () => reject(new Error(file)); // without effect once the data are there
    script.src = file;
    document.head.append(script);
  });

  return (block) => {
    if (!unpacked.has(block)) unpacked.set(block, Promise.resolve(block.data ?? load(block.file)).then((data) => {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Response(stream).json();
    }));
    return unpacked.get(block);
  };
})();

const element = (name, text = "", attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text; // never markup: texts of data sets are untrusted
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
};

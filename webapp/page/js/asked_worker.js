// A worker that is asked and answers, by number; started when it is first needed.

export class AskedWorker {
  constructor(file) {
    this.file = file;
    this.waiting = new Map();
    this.numbers = 0;
  }

  /** Send a message and what goes along with it; resolves to the answer, or throws its error. */
  ask(message, transfer = []) {
    this.start();
    const id = ++this.numbers;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message }, transfer);
    });
  }

  /** Have it ready for when it will be asked. */
  start() {
    this.worker ??= this.started();
  }

  started() {
    const worker = new Worker(new URL(this.file, import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, error, ...answer } }) => {
      const asked = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) asked?.reject(new Error(error));
      else asked?.resolve(answer);
    };
    worker.onerror = () => {
      // It could not even be loaded: everyone who waits is told, and the next one tries again.
      for (const { reject } of this.waiting.values()) reject(new Error("the worker cannot be started"));
      this.waiting.clear();
      this.worker = undefined;
    };
    return worker;
  }
}

// Requests to a worker, numbered; the worker is started at the first one.

export class WorkerClient {
  constructor(file) {
    this.file = file;
    this.pending = new Map();
    this.numbers = 0;
  }

  /** Send a message with transferred objects; resolves to the answer, or throws its error. */
  ask(message, transfer = []) {
    this.start();
    const id = ++this.numbers;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message }, transfer);
    });
  }

  /** Start the worker in advance. */
  start() {
    this.worker ??= this.createWorker();
  }

  createWorker() {
    const worker = new Worker(new URL(this.file, import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, error, ...answer } }) => {
      const request = this.pending.get(id);
      this.pending.delete(id);
      if (error) request?.reject(new Error(error));
      else request?.resolve(answer);
    };
    worker.onerror = () => {
      // It could not be loaded: reject all requests; the next one tries again.
      for (const { reject } of this.pending.values()) reject(new Error("the worker cannot be started"));
      this.pending.clear();
      this.worker = undefined;
    };
    return worker;
  }
}

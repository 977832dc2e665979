// A photo by the webcam, where no camera app can be asked for one.

import { byId, say } from "./dom.js";
import { openDialog } from "./layout.js";
import { words } from "./words.js";

const [dialog, video] = [byId("webcam"), byId("webcam-video")];
let onPhoto = () => {};

/** Whether this browser has a webcam; does not ask for permission. */
export async function hasWebcam() {
  const devices = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
  return devices.some(({ kind }) => kind === "videoinput");
}

/** Show the webcam; `callback` gets the photo as a file, if one is taken. */
export async function photograph(callback) {
  onPhoto = callback;
  say(byId("webcam-message"), "");
  byId("webcam-take").hidden = true;
  openDialog(dialog);
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, facingMode: "environment" } });
    if (!dialog.open) return stop(stream);
    video.srcObject = stream;
    await video.play();
    byId("webcam-take").hidden = false;
    byId("webcam-take").focus();
  } catch {
    say(byId("webcam-message"), words("The camera is not available."));
  }
}

const stop = (stream) => stream?.getTracks().forEach((track) => track.stop());

dialog.addEventListener("close", () => {
  stop(video.srcObject);
  video.srcObject = null;
});
byId("webcam-cancel").addEventListener("click", () => dialog.close());
byId("webcam-take").addEventListener("click", async () => {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  dialog.close();
  onPhoto(new File([blob], `${words("Photo")}.jpg`, { type: blob.type }));
});

// A photo with the camera of a computer, which is on only while the dialog is open.

import { element } from "./dom.js";

const WANTED = { video: { facingMode: "environment", width: { ideal: 1600 }, height: { ideal: 1200 } } };

/**
 * @param {(files: File[]) => void} open called with the photo, if one was taken
 * @param {(sentence: string) => void} refuse says why the camera cannot be used
 */
export async function takePhoto(open, refuse) {
  const video = element("video", { autoplay: true, muted: true, playsInline: true });
  const take = element("button", { type: "button", textContent: "Take the picture", disabled: true, autofocus: true });
  const cancel = element("button", { type: "button", textContent: "Cancel" });
  const dialog = element("dialog", { id: "shutter", ariaLabel: "Camera" }, video, take, cancel);
  document.body.append(dialog);
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve));
  video.addEventListener("playing", () => {
    take.disabled = false;
    take.focus();
  });
  take.addEventListener("click", () => dialog.close("taken"));
  cancel.addEventListener("click", () => dialog.close());
  dialog.showModal();

  const stream = navigator.mediaDevices.getUserMedia(WANTED).then(
    (camera) => {
      if (dialog.open) video.srcObject = camera;
      return camera;
    },
    (error) => {
      if (dialog.open) refuse(sentence(error));
      dialog.close();
      return null;
    },
  );
  await closed;
  const photo = dialog.returnValue === "taken" ? picture(video) : null;
  dialog.remove();
  stream.then((camera) => camera?.getTracks().forEach((track) => track.stop())); // also one that was allowed too late
  if (photo === null) return;
  const content = await new Promise((resolve) => photo.toBlob(resolve, "image/jpeg", 0.92));
  open([new File([content], "Photo", { type: "image/jpeg" })]);
}

function picture(video) {
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas;
}

function sentence({ name }) {
  if (name === "NotAllowedError") return "The browser does not let this page use the camera. Allow it, or choose a picture.";
  return "The camera cannot be used. Another program may be using it.";
}

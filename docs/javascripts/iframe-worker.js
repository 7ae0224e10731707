// The site's search works in a Worker, and a browser starts none for a page that it reads from a folder (file://).
// There an invisible frame takes its place. The theme's plugin `offline` would load the like of it from another host.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget { // the name that the theme's search looks for
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inside = frame.contentWindow
      addEventListener("message", ({source, data}) => {
        if (source === this.inside) this.dispatchEvent(new MessageEvent("message", {data}))
      })
      // What the frame posts goes to this page, and what this page posts arrives as in a worker.
      const page = this.inside.document
      page.open()
      page.write(
        `<script>postMessage = message => parent.dispatchEvent(new MessageEvent("message", {data: message, source: window}))</` +
        `script><script src="${url}"></` + `script>`
      )
      page.close()
    }
    postMessage(data) {
      this.inside.dispatchEvent(new MessageEvent("message", {data}))
    }
    terminate() {}
  }
  window.Worker = window.IFrameWorker
}

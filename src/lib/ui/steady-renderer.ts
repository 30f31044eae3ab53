import {EOL} from 'node:os'
import {
  DefaultRenderer,
  type ListrDefaultRendererOptions,
  type ListrDefaultRendererTask,
  type ListrEventManager,
  ListrLogger,
  Spinner,
} from 'listr2'
import {FramePainter} from './frame-painter.js'

/** Listr's list on a painter that does not flicker: Listr's own erases the whole list ten times a second. */
export class SteadyRenderer extends DefaultRenderer {
  private readonly ownLogger: ListrLogger
  private readonly ownSpinner: Spinner
  private readonly painter: FramePainter

  constructor(tasks: ListrDefaultRendererTask[], options: ListrDefaultRendererOptions, events: ListrEventManager) {
    const logger = new ListrLogger({toStderr: [], useIcons: true})
    const spinner = new Spinner()
    super(tasks, {...options, logger, spinner}, events)
    this.ownLogger = logger
    this.ownSpinner = spinner
    // What others write to the streams is held back while the list is on the screen; this passes.
    this.painter = new FramePainter({
      get columns() {
        return process.stdout.columns
      },
      get rows() {
        return process.stdout.rows
      },
      write: (text) => logger.process.toStdout(text, false),
    })
  }

  override end(): void {
    this.ownSpinner.stop()
    this.painter.finish(this.create({prompt: false}).split(EOL))
    this.ownLogger.process.release()
  }

  override update(): void {
    this.painter.paint(this.create().split(EOL))
  }
}

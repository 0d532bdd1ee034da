// The viewer of a report: three planes and the head's surface, and decisions about targets.
// No dependencies, no network, no WebGL. Positions are mm in the scanner frame of the image: x to
// the right, y to the front, z to the top (RAS+). Documented in docs/viewer.md.
'use strict';

// Which world axes run across, up and through each plane.
const PLANES = [
  { name: 'axial', across: 0, up: 1, through: 2 },
  { name: 'coronal', across: 0, up: 2, through: 1 },
  { name: 'sagittal', across: 1, up: 2, through: 0 },
];
const ENDS = [['L', 'R'], ['P', 'A'], ['I', 'S']];
const AXES = ['x', 'y', 'z'];
// A mark of a point this far from the slice, mm, is not drawn any more.
const FADE_MM = 10;
// Share of white at which the skin begins: air is black, and fat bright.
const SKIN = 0.19;

// ---- Arithmetic: tested in Node, without a page ----

/** Bytes of a head (see tmsprep/reports/head_volume.py) to its header and grey levels. */
function unpack(bytes) {
  const end = bytes.indexOf(10);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const [nx, ny, nz] = header.shape;
  const levels = bytes.slice(end + 1);
  if (header.format !== 'tmsprep-head-1' || levels.length !== nx * ny * nz) {
    throw new Error('the embedded head is damaged');
  }
  // Each voxel is stored as its difference from a third of the sum of those before it.
  const plane = nx * ny;
  for (let z = 0, i = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, i++) {
        const sum = (x ? levels[i - 1] : 0) + (y ? levels[i - nx] : 0) + (z ? levels[i - plane] : 0);
        levels[i] += (sum / 3) | 0;
      }
    }
  }
  return { ...header, levels };
}

/** Position in mm to voxel index, and back. */
const toVoxel = (head, mm) => mm.map((value, axis) => (value - head.first[axis]) / head.spacing);
const toMm = (head, voxel) => voxel.map((value, axis) => head.first[axis] + value * head.spacing);

/** Position in mm to pixels of a canvas; view: centre (mm), scale (pixels per mm), width, height. */
function toCanvas(view, plane, mm) {
  return [
    view.width / 2 + (mm[plane.across] - view.centre[plane.across]) * view.scale,
    view.height / 2 - (mm[plane.up] - view.centre[plane.up]) * view.scale,
  ];
}

/** Pixels of a canvas to mm, in the slice through `at`. */
function fromCanvas(view, plane, x, y, at) {
  const mm = [...at];
  mm[plane.across] = view.centre[plane.across] + (x - view.width / 2) / view.scale;
  mm[plane.up] = view.centre[plane.up] - (y - view.height / 2) / view.scale;
  return mm;
}

/** To a tenth of a millimetre, so that what is shown is what is saved; never -0. */
const tenths = (mm) => mm.map((value) => Math.round(value * 10) / 10 + 0);

/** Keep a position inside the voxels of the head. */
function inside(head, mm) {
  return tenths(mm.map((value, axis) => {
    const last = head.first[axis] + (head.shape[axis] - 1) * head.spacing;
    return Math.min(Math.max(value, Math.ceil(head.first[axis] * 10) / 10), Math.floor(last * 10) / 10);
  }));
}

/** Grey level between voxels, linear; 0 outside. */
function sample(head, x, y, z) {
  const [nx, ny, nz] = head.shape;
  if (!(x >= 0 && y >= 0 && z >= 0 && x <= nx - 1 && y <= ny - 1 && z <= nz - 1)) return 0;
  const i = Math.min(x | 0, nx - 2), j = Math.min(y | 0, ny - 2), k = Math.min(z | 0, nz - 2);
  const a = x - i, b = y - j, c = z - k, v = head.levels, p = nx * ny;
  const o = i + nx * j + p * k;
  const low = (v[o] * (1 - a) + v[o + 1] * a) * (1 - b) + (v[o + nx] * (1 - a) + v[o + nx + 1] * a) * b;
  const q = o + p;
  const high = (v[q] * (1 - a) + v[q + 1] * a) * (1 - b) + (v[q + nx] * (1 - a) + v[q + nx + 1] * a) * b;
  return low * (1 - c) + high * c;
}

/** One slice of voxels as grey, top row first; interpolated between the two nearest slices. */
function slice(head, plane, at) {
  const strides = [1, head.shape[0], head.shape[0] * head.shape[1]];
  const width = head.shape[plane.across], height = head.shape[plane.up], depth = head.shape[plane.through];
  const grey = new Float32Array(width * height);
  const through = (at - head.first[plane.through]) / head.spacing;
  if (through < -0.5 || through > depth - 0.5) return { width, height, grey };
  const place = Math.min(Math.max(through, 0), depth - 1);
  const k = Math.min(Math.floor(place), Math.max(depth - 2, 0)), part = place - k;
  const step = depth > 1 ? strides[plane.through] : 0;
  for (let row = 0, n = 0; row < height; row++) {
    let o = k * strides[plane.through] + (height - 1 - row) * strides[plane.up];
    for (let column = 0; column < width; column++, n++, o += strides[plane.across]) {
      grey[n] = head.levels[o] * (1 - part) + head.levels[o + step] * part;
    }
  }
  return { width, height, grey };
}

/** Radius at which a slice cuts the ball around a point; 0 if it does not. */
const cut = (radius, off) => (Math.abs(off) < radius ? Math.sqrt(radius * radius - off * off) : 0);

/** Unit vectors of a camera that looks at the head: to the right and up on the screen, away. */
function camera(azimuth, elevation) {
  const a = azimuth * Math.PI / 180, e = elevation * Math.PI / 180;
  // At 0, 0 it stands in front of the face: the participant's right is on the left.
  const away = [-Math.sin(a) * Math.cos(e), -Math.cos(a) * Math.cos(e), -Math.sin(e)];
  const right = [-Math.cos(a), Math.sin(a), 0];
  const up = [
    right[1] * away[2] - right[2] * away[1],
    right[2] * away[0] - right[0] * away[2],
    right[0] * away[1] - right[1] * away[0],
  ];
  return { right, up, away };
}
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** How far along a ray (from p, along away; voxels) the skin is; Infinity if it meets none. */
function depthOfSkin(head, p, away) {
  // Only the part of the ray inside the grid.
  let begin = -Infinity, end = Infinity;
  for (let axis = 0; axis < 3; axis++) {
    const last = head.shape[axis] - 1;
    if (Math.abs(away[axis]) < 1e-6) {
      if (p[axis] < 0 || p[axis] > last) return Infinity;
    } else {
      const one = -p[axis] / away[axis], other = (last - p[axis]) / away[axis];
      begin = Math.max(begin, Math.min(one, other));
      end = Math.min(end, Math.max(one, other));
    }
  }
  const [nx, ny] = head.shape, [x, y, z] = p, [a, b, c] = away, skin = SKIN * (head.greys - 1);
  const nearest = (t) => head.levels[
    ((x + a * t + 0.5) | 0) + nx * (((y + b * t + 0.5) | 0) + ny * ((z + c * t + 0.5) | 0))
  ];
  let t = begin;
  // Two samples in a row, so that a speck of noise in the air is no skin.
  while (t <= end - 1.5 && !(nearest(t) > skin && nearest(t + 1.5) > skin)) t += 1.5;
  if (!(t <= end - 1.5)) return Infinity;
  let low = t - 1.5, high = t;
  for (let i = 0; i < 5; i++) {
    const half = (low + high) / 2;
    if (sample(head, x + a * half, y + b * half, z + c * half) > skin) high = half; else low = half;
  }
  return high;
}

/** How much the surface at a voxel faces the reader, 0 to 1. */
function facing(head, [x, y, z], away) {
  const slope = [
    sample(head, x + 2.5, y, z) - sample(head, x - 2.5, y, z),
    sample(head, x, y + 2.5, z) - sample(head, x, y - 2.5, z),
    sample(head, x, y, z + 2.5) - sample(head, x, y, z - 2.5),
  ];
  return Math.max(0, dot(slope, away) / (Math.hypot(...slope) || 1));
}

/**
 * The surface of the head, seen without perspective: shade (0 to 255) and depth (voxels from the
 * middle of the grid, along the view) of each pixel; depth is Infinity where there is no head.
 */
function surface(head, cam, size, span) {
  const shade = new Uint8ClampedArray(size * size), depth = new Float32Array(size * size);
  const middle = head.shape.map((n) => (n - 1) / 2);
  const { right, up, away } = cam;
  for (let row = 0, i = 0; row < size; row++) {
    for (let column = 0; column < size; column++, i++) {
      const u = ((column + 0.5) / size - 0.5) * span, v = (0.5 - (row + 0.5) / size) * span;
      const p = middle.map((value, axis) => value + right[axis] * u + up[axis] * v);
      depth[i] = depthOfSkin(head, p, away);
      if (depth[i] === Infinity) continue;
      const place = p.map((value, axis) => value + away[axis] * depth[i]);
      shade[i] = 45 + 195 * facing(head, place, away);
    }
  }
  return { shade, depth, size, span, middle };
}

/** Position in mm to pixels of a picture of `surface`, and its depth in voxels. */
function project(head, cam, picture, mm) {
  const off = toVoxel(head, mm).map((value, axis) => value - picture.middle[axis]);
  return [
    (dot(off, cam.right) / picture.span + 0.5) * picture.size,
    (0.5 - dot(off, cam.up) / picture.span) * picture.size,
    dot(off, cam.away),
  ];
}

/** Text as one cell of a table: one line, no formula of a spreadsheet, quoted where needed. */
function cell(text) {
  const line = String(text).replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
  if (!line) return 'n/a';
  const safe = /^[=+\-@]/.test(line) && !Number.isFinite(Number(line)) ? `'${line}` : line;
  return safe.includes('"') ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const COLUMNS = [
  'label', 'hemisphere', 'region', 'x', 'y', 'z', 'status', 'decision', 'method', 'reviewer', 'date',
  'comment', 'image_sha256', 'software_version',
];

/** The table of decisions: one row per target that was decided, in the order of the protocol. */
function table(data, decisions) {
  const rows = data.targets.filter((target) => decisions.has(target.label)).map((target) => {
    const made = decisions.get(target.label);
    const [x, y, z] = made.point || ['n/a', 'n/a', 'n/a'];
    const row = {
      ...target, ...made, x, y, z, status: made.decision, image_sha256: data.sha256,
      software_version: made.software_version || data.version,
    };
    return COLUMNS.map((name) => cell(row[name] ?? ''));
  });
  return [COLUMNS, ...rows].map((row) => row.join('\t')).join('\n') + '\n';
}

/** The same as a point list of 3D Slicer (LPS); rejected targets are left out. */
function markups(data, decisions) {
  const points = data.targets.filter((target) => decisions.get(target.label)?.point);
  const controlPoints = points.map((target, number) => {
    const made = decisions.get(target.label);
    const [x, y, z] = made.point.map(Number);
    return {
      id: String(number + 1), label: target.label, positionStatus: 'defined', position: [-x + 0, -y + 0, z],
      description: `${target.name}; ${made.decision} by ${made.reviewer}, ${made.date}`,
    };
  });
  const schema = 'https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/'
    + 'Schema/markups-schema-v1.0.0.json#';
  const markup = { type: 'Fiducial', coordinateSystem: 'LPS', coordinateUnits: 'mm', controlPoints };
  return `${JSON.stringify({ '@schema': schema, markups: [markup] }, null, 1)}\n`;
}

/** Today, where the reader is, as 2026-01-31. */
function today(now = new Date()) {
  const two = (n) => String(n).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

const words = (mm) => mm.map((value) => Number(value).toFixed(1)).join(' ');

// ---- The page ----

/** Undo base64 and gzip. */
async function decompress(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** An element with text. */
function element(kind, text) {
  const one = document.createElement(kind);
  one.textContent = text;
  return one;
}

/** Draw the outline of a method's mark; the middle stays open, so that the gyrus shows. */
function outline(context, shape, x, y, r) {
  context.beginPath();
  if (shape === 's') context.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
  else if (shape === '^' || shape === 'D') {
    const corners = shape === 'D' ? [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]] : [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]];
    corners.forEach(([u, v], i) => context[i ? 'lineTo' : 'moveTo'](x + u * r, y + v * r));
    context.closePath();
  } else context.arc(x, y, r, 0, 2 * Math.PI);
}

/** Stroke in colour on black, to be seen on white and on black. */
function strokeTwice(context, colour, width) {
  context.strokeStyle = '#000';
  context.lineWidth = width * 1.8;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function write(context, text, x, y, colour = '#ddd', size = 13) {
  context.font = `bold ${size}px sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineWidth = 3;
  context.strokeStyle = '#000';
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

class Viewer {
  constructor(root, data, head) {
    Object.assign(this, { root, data, head });
    this.middle = toMm(head, head.shape.map((n) => (n - 1) / 2));
    this.centre = [...this.middle];
    this.cross = inside(head, this.middle);
    this.zoom = 1;
    // Grey levels shown as black and as white.
    this.window = [0, head.greys - 1];
    this.marks = true;
    this.azimuth = -60;
    this.elevation = 25;
    this.target = null;
    this.decisions = new Map(Object.entries(data.review));
    this.saved = true;
    this.grey = document.createElement('canvas');
    this.canvases = [...root.querySelectorAll('canvas')];
    this.listTargets();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(root.querySelector('.viewer-planes'));
    this.select(data.targets.find((target) => target.method)?.label ?? data.targets[0]?.label);
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  // -- What is shown --

  select(label) {
    const target = this.data.targets.find((one) => one.label === label);
    if (!target) return;
    this.target = target;
    const point = this.decided(target) ?? this.recommended(target)?.point;
    if (point) {
      this.cross = inside(this.head, point.map(Number));
      if (this.zoom > 1) this.centre = [...this.cross];
    }
    this.showTarget();
    this.showPlace();
    this.draw();
  }

  decided(target) { return this.decisions.get(target.label)?.point ?? null; }

  /** The recommended point of a target, or else its first one. */
  recommended(target) {
    return target.points.find((point) => point.method === target.method)
      ?? target.points.find((point) => point.point);
  }

  step(by) {
    const labels = this.data.targets.map((target) => target.label);
    const next = (labels.indexOf(this.target?.label) + by + labels.length) % labels.length;
    this.select(labels[next]);
  }

  move(mm) {
    this.cross = inside(this.head, mm);
    this.showPlace();
    this.draw();
  }

  setZoom(zoom) {
    this.zoom = Math.min(Math.max(zoom, 1), 8);
    this.centre = this.zoom > 1 ? [...this.cross] : [...this.middle];
    this.draw();
  }

  /** Make the window wider and move it, both in grey levels. */
  setWindow(wider, brighter) {
    const [low, high] = this.window, white = this.head.greys - 1;
    const width = Math.min(Math.max(high - low + wider, 4), 2 * white);
    const middle = Math.min(Math.max((low + high) / 2 - brighter, 0), white);
    this.window = [middle - width / 2, middle + width / 2];
    this.draw();
  }

  reset() {
    this.window = [0, this.head.greys - 1];
    this.setZoom(1);
  }

  toggleMarks() {
    this.marks = !this.marks;
    this.part('marks').setAttribute('aria-pressed', String(this.marks));
    this.draw();
  }

  turn(azimuth, elevation, fast = false) {
    this.azimuth = azimuth;
    this.elevation = Math.min(Math.max(elevation, -89), 89);
    this.drawHead(fast);
    if (fast) {
      clearTimeout(this.pending);
      this.pending = setTimeout(() => this.drawHead(), 120);
    }
  }

  /** Look along the coil, from outside onto the entry of the target, or from its side. */
  face() {
    const point = this.target && this.recommended(this.target);
    const from = point?.normal ?? (point?.point && point.point.map((v, i) => v - this.middle[i]));
    if (!from) return;
    const [x, y, z] = from;
    this.turn(Math.atan2(x, y) * 180 / Math.PI, Math.atan2(z, Math.hypot(x, y)) * 180 / Math.PI);
  }

  // -- Drawing --

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      PLANES.forEach((plane, number) => this.drawPlane(plane, this.canvases[number]));
      // The first picture of the surface takes longest: the planes do not wait for it.
      if (this.picture) this.drawHead();
      else this.turn(this.azimuth, this.elevation, true);
    });
  }

  /** Size of a canvas in CSS pixels; its own pixels follow the screen. */
  fit(canvas) {
    const width = canvas.clientWidth || 300, height = canvas.clientHeight || 300;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { context, width, height };
  }

  view(canvas) {
    const width = canvas.clientWidth || 300, height = canvas.clientHeight || 300;
    // One scale for all planes, so that a millimetre has one length; with a margin for the letters.
    const longest = Math.max(...this.head.shape) * this.head.spacing * 1.06;
    return { centre: this.centre, scale: this.zoom * Math.min(width, height) / longest, width, height };
  }

  drawPlane(plane, canvas) {
    const { context, width, height } = this.fit(canvas);
    const view = this.view(canvas), { head } = this;
    const cutting = slice(head, plane, this.cross[plane.through]);
    const pixels = new ImageData(cutting.width, cutting.height), bytes = new Uint32Array(pixels.data.buffer);
    const [low, high] = this.window, factor = 255 / (high - low);
    for (let i = 0; i < bytes.length; i++) {
      const grey = Math.min(Math.max((cutting.grey[i] - low) * factor, 0), 255) | 0;
      bytes[i] = 0xff000000 | (grey * 0x010101);
    }
    this.grey.width = cutting.width;
    this.grey.height = cutting.height;
    this.grey.getContext('2d').putImageData(pixels, 0, 0);
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = true;
    // The first voxel begins half a voxel before its centre.
    const corner = toMm(head, [-0.5, -0.5, -0.5]);
    corner[plane.up] += cutting.height * head.spacing;
    const [left, top] = toCanvas(view, plane, corner), size = head.spacing * view.scale;
    context.drawImage(this.grey, left, top, cutting.width * size, cutting.height * size);
    if (this.marks) this.drawMarks(context, view, plane);
    this.drawCross(context, view, plane);
    this.drawEnds(context, plane, width, height);
    this.drawBar(context, view);
  }

  drawCross(context, view, plane) {
    const [x, y] = toCanvas(view, plane, this.cross);
    context.strokeStyle = 'rgba(255, 255, 255, 0.65)';
    context.lineWidth = 1;
    context.beginPath();
    // Open in the middle.
    for (const [a, b, c, d] of [[0, y, x - 12, y], [x + 12, y, view.width, y], [x, 0, x, y - 12], [x, y + 12, x, view.height]]) {
      context.moveTo(a, b);
      context.lineTo(c, d);
    }
    context.stroke();
  }

  drawEnds(context, plane, width, height) {
    const [left, right] = ENDS[plane.across], [bottom, top] = ENDS[plane.up];
    const colour = plane.across === 0 ? '#ffe066' : '#ddd';
    write(context, left, 10, height / 2, colour, plane.across === 0 ? 16 : 13);
    write(context, right, width - 10, height / 2, colour, plane.across === 0 ? 16 : 13);
    write(context, top, width / 2, 10);
    write(context, bottom, width / 2, height - 10);
  }

  drawBar(context, view) {
    const length = 10 * view.scale, y = view.height - 10, end = view.width - 12;
    context.beginPath();
    context.moveTo(end - length, y);
    context.lineTo(end, y);
    strokeTwice(context, '#fff', 2);
    if (view.width > 260) write(context, '10 mm', end - length / 2, y - 10, '#fff', 10);
  }

  drawMarks(context, view, plane) {
    for (const target of this.data.targets) {
      const chosen = target === this.target, own = this.decisions.get(target.label);
      const shown = own?.decision === 'rejected' ? [] : target.points;
      for (const point of shown) {
        if (!point.point) continue;
        const mark = this.data.methods[point.method];
        const usual = !own && point.method === target.method;
        this.drawMark(context, view, plane, point, mark, chosen, usual);
      }
      if (own?.decision === 'moved') {
        const mark = { shape: 'D', colour: '#fff' };
        this.drawMark(context, view, plane, { point: own.point, radius: null }, mark, chosen, true);
      }
    }
    context.globalAlpha = 1;
  }

  /** A ring around a point, dotted at the radius that holds 90 % of errors; bold if recommended. */
  drawMark(context, view, plane, point, mark, chosen, bold) {
    const mm = point.point.map(Number), off = mm[plane.through] - this.cross[plane.through];
    const [x, y] = toCanvas(view, plane, mm);
    const ball = point.radius ? cut(point.radius, off) : 0;
    if (ball) {
      context.globalAlpha = chosen ? 0.9 : 0.35;
      context.setLineDash([4, 4]);
      outline(context, 'o', x, y, ball * view.scale);
      context.strokeStyle = mark.colour;
      context.lineWidth = 1.2;
      context.stroke();
      context.setLineDash([]);
    }
    if (Math.abs(off) > FADE_MM) return;
    context.globalAlpha = (chosen ? 1 : 0.5) * Math.max(0.2, 1 - Math.abs(off) / FADE_MM);
    outline(context, mark.shape, x, y, Math.max(6, 1.5 * view.scale));
    strokeTwice(context, mark.colour, bold ? 2.6 : 1.3);
  }

  drawHead(fast = false) {
    const canvas = this.canvases[3], { context, width, height } = this.fit(canvas);
    const side = Math.min(width, height), size = fast ? 96 : Math.min(240, Math.round(side));
    const cam = camera(this.azimuth, this.elevation);
    const key = [this.azimuth, this.elevation, size].join();
    if (this.picture?.key !== key) {
      // Half of the diagonal shows the head from all sides; a head fills no box.
      const span = Math.hypot(...this.head.shape) * 0.86;
      this.picture = { key, ...surface(this.head, cam, size, span) };
    }
    const { shade, depth } = this.picture, pixels = new ImageData(size, size);
    for (let i = 0; i < shade.length; i++) {
      const level = depth[i] < Infinity ? shade[i] : 0;
      pixels.data.set([level, level * 0.94, level * 0.88, 255], 4 * i);
    }
    this.grey.width = this.grey.height = size;
    this.grey.getContext('2d').putImageData(pixels, 0, 0);
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.drawImage(this.grey, (width - side) / 2, (height - side) / 2, side, side);
    context.save();
    context.translate((width - side) / 2, (height - side) / 2);
    context.scale(side / size, side / size);
    if (this.marks) this.data.targets.forEach((target) => this.drawOnHead(context, cam, target, size / side));
    context.globalAlpha = 1;
    for (const [axis, ends] of ENDS.entries()) {
      for (const [end, name] of ends.entries()) {
        const far = [...this.middle];
        far[axis] += (end ? 1 : -1) * 0.62 * this.head.shape[axis] * this.head.spacing;
        const [x, y, z] = project(this.head, cam, this.picture, far);
        // Ends that point at the reader or away would lie over the head.
        if (Math.abs(z) < 0.25 * this.picture.span) write(context, name, x, y, axis ? '#ddd' : '#ffe066', 14 * size / side);
      }
    }
    context.restore();
  }

  /** The entry, the way to the target, outwards, and the handle, as far as the tables have them. */
  drawOnHead(context, cam, target, pixel) {
    const own = this.decisions.get(target.label), point = this.recommended(target);
    if (!point?.point || own?.decision === 'rejected') return;
    const chosen = target === this.target, mark = this.data.methods[point.method];
    const place = own?.decision === 'moved' ? own.point : point.point;
    const put = (mm) => project(this.head, cam, this.picture, mm.map(Number));
    const [x, y] = put(place);
    context.globalAlpha = chosen ? 1 : 0.45;
    outline(context, mark.shape, x, y, 5 * pixel);
    strokeTwice(context, mark.colour, 1.2 * pixel);
    // The entry belongs to the point of the tables, not to one that was moved.
    if (!point.entry || own?.decision === 'moved') return;
    const [ex, ey, ez] = put(point.entry);
    const { depth, size } = this.picture;
    const skin = depth[Math.min(Math.max(ey | 0, 0), size - 1) * size + Math.min(Math.max(ex | 0, 0), size - 1)];
    const hidden = ez > skin + 6;
    context.globalAlpha = hidden ? 0.2 : chosen ? 1 : 0.45;
    const line = (from, by, length, colour) => {
      const [ax, ay] = put(from), [bx, by2] = put(from.map((v, i) => v + by[i] * length));
      context.beginPath();
      context.moveTo(ax, ay);
      context.lineTo(bx, by2);
      strokeTwice(context, colour, 2 * pixel);
    };
    if (chosen) {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(ex, ey);
      strokeTwice(context, '#ffffff', 1 * pixel);
      if (point.normal) line(point.entry, point.normal, 25, '#4dabff');
      if (point.handle) line(point.entry, point.handle, 40, '#ff8787');
    }
    outline(context, 'o', ex, ey, (chosen ? 5 : 3.5) * pixel);
    context.fillStyle = mark.colour;
    context.fill();
    strokeTwice(context, '#fff', 1 * pixel);
  }

  // -- Words --

  showPlace() {
    const [x, y, z] = this.cross;
    this.part('place').textContent = `RAS ${words(this.cross)} mm (x, y, z). LPS ${words([-x + 0, -y + 0, z])} mm.`;
    PLANES.forEach((plane, number) => {
      const shown = this.cross[plane.through].toFixed(1);
      this.root.querySelectorAll('output')[number].textContent = `${AXES[plane.through]} = ${shown} mm`;
      const slider = this.root.querySelectorAll('input[type=range]')[number];
      slider.min = Math.ceil(this.head.first[plane.through]);
      slider.max = Math.floor(this.head.first[plane.through] + (this.head.shape[plane.through] - 1) * this.head.spacing);
      slider.value = shown;
      slider.setAttribute('aria-valuetext', `${shown} mm`);
    });
  }

  listTargets() {
    const list = this.part('targets');
    list.replaceChildren(...this.data.targets.map((target) => {
      const item = document.createElement('li'), button = document.createElement('button');
      button.type = 'button';
      button.dataset.label = target.label;
      button.addEventListener('click', () => this.select(target.label));
      item.append(button);
      return item;
    }));
  }

  showTarget() {
    this.showList();
    this.showAbout();
    this.showForm();
  }

  showList() {
    for (const button of this.part('targets').querySelectorAll('button')) {
      const target = this.data.targets.find((one) => one.label === button.dataset.label);
      const made = this.decisions.get(target.label)?.decision;
      button.textContent = `${target.name}${made ? `: ${made}` : ''}`;
      button.title = target.label;
      button.setAttribute('aria-current', String(target === this.target));
      button.dataset.decision = made ?? (target.method ? '' : 'none');
    }
  }

  showAbout() {
    const target = this.target, list = document.createElement('ul');
    list.append(...target.points.map((point) => this.describe(point)));
    this.part('about').replaceChildren(
      element('h4', `${target.name} (${target.label})`), element('p', `${target.reason}.`), list,
    );
  }

  /** One point in words, with a button to go there. */
  describe(point) {
    const name = this.data.methods[point.method].name, item = document.createElement('li');
    if (!point.point) {
      item.append(`${name}: no point, ${point.status}`);
      return item;
    }
    const go = element('button', `${name}: ${words(point.point)}`);
    go.type = 'button';
    go.title = 'Jump to this point';
    go.addEventListener('click', () => this.move(point.point.map(Number)));
    const radius = point.radius ? `, 90 % of errors within ${point.radius.toFixed(1)} mm` : '';
    const gyrus = point.gyrus ? `; ${point.gyrus}` : '';
    const mni = point.mni ? `; MNI ${words(point.mni)}` : '';
    item.append(go, ` ${point.status}${radius}${gyrus}${mni}`);
    return item;
  }

  showForm() {
    const target = this.target, found = target.points.filter((point) => point.point);
    this.part('method').replaceChildren(...found.map((point) => {
      const option = element('option', this.data.methods[point.method].name);
      option.value = point.method;
      option.selected = point.method === target.method;
      return option;
    }));
    this.part('accept').disabled = !found.length;
    this.part('form').disabled = !target.decidable;
    const made = this.decisions.get(target.label);
    this.part('comment').value = made?.comment ?? '';
    this.part('decided').textContent = made
      ? `${made.decision} by ${made.reviewer}, ${made.date}${made.point ? `, at ${words(made.point)} mm` : ''}`
      : 'not decided';
    this.part('undo').disabled = !made;
    const count = this.decisions.size, unsaved = this.saved ? '' : ', not saved yet';
    const total = this.data.targets.filter((one) => one.decidable).length;
    this.part('count').textContent = `${count} of ${total} decided${unsaved}.`;
    for (const name of ['save', 'save-slicer']) this.part(name).disabled = !count;
  }

  // -- Decisions --

  decide(decision) {
    const reviewer = this.part('reviewer').value.trim(), date = this.part('date').value;
    const message = !reviewer ? 'Enter your name first.' : !/^\d{4}-\d\d-\d\d$/.test(date) ? 'Enter the date first.' : '';
    this.part('message').textContent = message;
    if (message) {
      this.part(reviewer ? 'date' : 'reviewer').focus();
      return;
    }
    const made = { decision, reviewer, date, comment: this.part('comment').value.trim(), method: '', point: null };
    if (decision === 'moved') made.point = this.cross.map((value) => value.toFixed(4));
    if (decision === 'accepted') {
      const point = this.target.points.find((one) => one.method === this.part('method').value);
      made.method = point.method;
      made.point = point.point;
    }
    this.keep(() => this.decisions.set(this.target.label, made));
  }

  keep(change) {
    change();
    this.saved = false;
    this.showTarget();
    this.draw();
  }

  saveTable() {
    this.save('.tsv', table(this.data, this.decisions), 'text/tab-separated-values');
    this.saved = true;
    this.showForm();
  }

  /** Let the browser save a file to the downloads. */
  save(extension, text, type) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `${this.data.file}${extension}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // -- Mouse, touch, keys --

  listen() {
    const actions = {
      marks: () => this.toggleMarks(), closer: () => this.setZoom(this.zoom * 1.5),
      farther: () => this.setZoom(this.zoom / 1.5), reset: () => this.reset(),
      previous: () => this.step(-1), next: () => this.step(1), coil: () => this.face(),
      'contrast-more': () => this.setWindow(-6, 0), 'contrast-less': () => this.setWindow(6, 0),
      brighter: () => this.setWindow(0, 3), darker: () => this.setWindow(0, -3),
      accept: () => this.decide('accepted'), move: () => this.decide('moved'),
      reject: () => this.decide('rejected'), save: () => this.saveTable(),
      undo: () => this.keep(() => this.decisions.delete(this.target.label)),
      'save-slicer': () => this.save('.mrk.json', markups(this.data, this.decisions), 'application/json'),
    };
    for (const [name, action] of Object.entries(actions)) this.part(name).addEventListener('click', action);
    for (const button of this.root.querySelectorAll('[data-turn]')) {
      button.addEventListener('click', () => this.turn(...button.dataset.turn.split(' ').map(Number)));
    }
    for (const button of this.root.querySelectorAll('[data-enlarge]')) {
      button.addEventListener('click', () => {
        const large = button.closest('.plane').classList.toggle('large');
        button.setAttribute('aria-pressed', String(large));
      });
    }
    this.part('date').value = today();
    this.part('reviewer').value = [...this.decisions.values()][0]?.reviewer ?? '';
    window.addEventListener('beforeunload', (event) => { if (!this.saved) event.preventDefault(); });
    const sliders = this.root.querySelectorAll('input[type=range]');
    PLANES.forEach((plane, number) => {
      this.listenPlane(plane, this.canvases[number]);
      sliders[number].addEventListener('input', (event) => {
        const mm = [...this.cross];
        mm[plane.through] = Number(event.target.value);
        this.move(mm);
      });
    });
    this.listenHead(this.canvases[3]);
  }

  /** Drags with one pointer, and the change of distance of two fingers. */
  drag(canvas, moved, pinched) {
    const down = new Map();
    let cross = this.cross;
    canvas.addEventListener('contextmenu', (event) => event.preventDefault());
    canvas.addEventListener('pointerdown', (event) => {
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      down.set(event.pointerId, event);
      // The first of two fingers that zoom was not meant to move the cross.
      if (down.size > 1) return this.move(cross);
      cross = this.cross;
      moved(event, event);
    });
    canvas.addEventListener('pointermove', (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      const other = [...down.values()].find((one) => one.pointerId !== event.pointerId);
      if (other) {
        const apart = (one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
        pinched(apart(event) / Math.max(apart(before), 1));
      } else moved(event, before);
      down.set(event.pointerId, event);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(name, (event) => down.delete(event.pointerId));
    }
  }

  listenPlane(plane, canvas) {
    this.drag(canvas, (event, before) => {
      if (event.shiftKey || event.buttons === 2) {
        this.setWindow((event.offsetX - before.offsetX) / 4, (before.offsetY - event.offsetY) / 6);
      } else this.move(fromCanvas(this.view(canvas), plane, event.offsetX, event.offsetY, this.cross));
    }, (ratio) => this.setZoom(this.zoom * ratio));
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.setZoom(this.zoom * Math.exp(-event.deltaY / 300));
      else this.along(plane.through, -Math.sign(event.deltaY) * this.head.spacing);
    }, { passive: false });
    canvas.addEventListener('keydown', (event) => this.key(event, plane));
  }

  listenHead(canvas) {
    this.drag(canvas, (event, before) => {
      this.turn(this.azimuth + (event.offsetX - before.offsetX) * 0.7, this.elevation + (event.offsetY - before.offsetY) * 0.7, true);
    }, () => {});
    canvas.addEventListener('keydown', (event) => {
      const by = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
      if (by) {
        event.preventDefault();
        this.turn(this.azimuth + by[0], this.elevation + by[1]);
      } else this.key(event, null);
    });
  }

  along(axis, by) {
    const mm = [...this.cross];
    mm[axis] += by;
    if (this.zoom > 1) this.centre[axis] += by;
    this.move(mm);
  }

  key(event, plane) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const mm = (event.shiftKey ? 5 : 1) * this.head.spacing;
    const moves = plane ? {
      ArrowLeft: () => this.along(plane.across, -mm), ArrowRight: () => this.along(plane.across, mm),
      ArrowUp: () => this.along(plane.up, mm), ArrowDown: () => this.along(plane.up, -mm),
      PageUp: () => this.along(plane.through, mm), PageDown: () => this.along(plane.through, -mm),
    } : {};
    const actions = {
      ...moves, '+': () => this.setZoom(this.zoom * 1.25), '-': () => this.setZoom(this.zoom / 1.25),
      0: () => this.reset(), m: () => this.toggleMarks(), n: () => this.step(1), p: () => this.step(-1),
      '[': () => this.setWindow(4, 0), ']': () => this.setWindow(-4, 0),
      '{': () => this.setWindow(0, -2), '}': () => this.setWindow(0, 2), c: () => this.face(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

/** Show a viewer, or say why it cannot be shown; the figures below are there in any case. */
async function start(root) {
  if (root.dataset.started) return;
  root.dataset.started = 'yes';
  const begin = performance.now(), state = root.querySelector('[data-part=state]');
  try {
    if (typeof DecompressionStream === 'undefined') throw new Error('this browser is too old (2023 or newer is needed)');
    const data = JSON.parse(root.querySelector('.viewer-data').textContent);
    const head = unpack(await decompress(root.querySelector('.viewer-head').textContent));
    root.querySelector('.viewer-main').hidden = false;
    root.viewer = new Viewer(root, data, head);
    state.textContent = '';
    root.dataset.ready = Math.round(performance.now() - begin);
    if (linked().root === root) root.viewer.select(linked().label);
  } catch (error) {
    state.textContent = `The viewer cannot be shown: ${error.message}. See the figures below.`;
  }
}

/** The viewer, and perhaps the target, that a link to `#<viewer>` or `#<viewer>/<target>` names. */
function linked() {
  const [id, label] = location.hash.slice(1).split('/');
  const root = document.getElementById(id);
  if (!root?.classList.contains('viewer')) return {};
  try {
    return { root, label: label && decodeURIComponent(label) };
  } catch {
    return { root };
  }
}

function followLink() {
  const { root, label } = linked();
  if (!root) return;
  start(root);
  if (label) root.viewer?.select(label);
  // A viewer was hidden when the browser looked for the place.
  root.scrollIntoView();
}

if (typeof document !== 'undefined') {
  const roots = [...document.querySelectorAll('.viewer')];
  // A head is decompressed when its viewer comes near the window.
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) start(target);
  }, { rootMargin: '600px' });
  for (const root of roots) {
    root.hidden = false;
    observer.observe(root);
  }
  window.addEventListener('hashchange', followLink);
  // Where the style sheet cannot show what is folded on paper, it is opened for the time.
  if (!CSS.supports('selector(::details-content)')) {
    let opened = [];
    window.addEventListener('beforeprint', () => {
      opened = [...document.querySelectorAll('details.unfold:not([open])')];
      for (const folded of opened) folded.open = true;
    });
    window.addEventListener('afterprint', () => {
      for (const folded of opened) folded.open = false;
    });
  }
  followLink();
}
if (typeof module !== 'undefined') {
  module.exports = {
    PLANES, unpack, toVoxel, toMm, toCanvas, fromCanvas, inside, tenths, sample, slice, cut, camera,
    surface, project, cell, table, markups, today,
  };
}

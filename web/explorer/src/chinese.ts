/** What the page says in Chinese. */
import { degree, effect, openness, shortest, type Claims, type Degree, type Effect, type Openness } from "./claims";
import { signed } from "./diagram";
import { nameOfCharacter } from "./glyphs";
import type { Network, SeriesExhibit } from "./reading";
import type { Words } from "./words";

const two = (value: number | null | undefined) => value?.toFixed(2) ?? "–";
const written = (symbol: string, state: string, count: number, what: string, rest: string, set: number | null) =>
  set !== null
    ? `${symbol} = ${state}，${count ? `是第 ${set} 步之后手动设定的值所剩的部分，与此后 ${count} ${what}写入的内容之和。最大的几份列在下面，其余合计 ${rest}。` : "是手动设定的值。"}`
    : count === 1
    ? `${symbol} = ${state}，由第一${what}写入，在它之前没有写入任何内容。`
    : `${symbol} = ${state}，是 ${count} ${what}写入的内容之和，每一份都被此后各步的门缩小。最大的几份列在下面，其余合计 ${rest}。`;
const percent = (share: number) => `${share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
const DEGREES: Record<Degree, string> = { all: "几乎全部", most: "大部分", half: "约一半", part: "一部分", none: "几乎没有" };
const OPEN: Record<Openness, string> = { open: "几乎全开", half: "半开半关", shut: "几乎关闭" };
const PREDICTS: Record<Effect, string> = { muchWorse: "差得多", worse: "更差", same: "与原来一样", better: "更好" };
const reading = ({ reads: { seasons, cycles, known } }: SeriesExhibit) =>
  [
    ...(seasons.length ? [`${seasons.join("、")} 步之前的值（取已知的最近一个）`] : []),
    "平滑法的延续值",
    ...(cycles.length ? [`时间（${cycles.map((name) => CYCLES[name] ?? name).join("、")}）`] : []),
    ...(known.length ? [known.join("、")] : []),
    "序列的名称及其水平",
  ].join("；");
/** What a line is called, of prose or of verse, and the sign that ends it. */
const lineOf = ({ sign }: Claims) => (sign!.verse ? ["句", `“${sign!.character}”`] : ["行", ` ${nameOfCharacter(sign!.character)} `]);
const reached = ({ reaches }: Claims) => {
  const far = [...reaches!].sort((a, b) => a.steps - b.steps);
  return `在这里能看到：${far.map(({ name, steps, whole }) => `${name} ${steps ? `${whole ? "至少 " : ""}${steps} 步` : "只有当步"}`).join("，")}。`;
};
const forgetting = ({ plain, none, everything }: NonNullable<Claims["bits"]>) => {
  if (!["worse", "muchWorse"].includes(effect(plain, everything))) return "对这段文本来说，什么都不忘也没有坏处。";
  const than = ["worse", "muchWorse"].includes(effect(none, everything)) ? "甚至不如记忆中只有最后一步写入的内容时" : "不如由门决定保留什么时";
  return `所以，什么都记住是不够的：从不遗忘时，网络的预测${than}。`;
};
const forgetsFirst = (claims: Claims) => ({ yes: "其中普通 RNN 最短，原因写在下一个标题下面。", no: "在这里，普通 RNN 并不是最短的。", none: "" })[shortest(claims, "RNN")];
const CYCLES: Record<string, string> = { day: "日", week: "周", year: "年" };
const HOLIDAYS: Record<string, string> = { holiday: "节假日", "holiday on the next day": "次日是节假日", holidays: "节假日数" };
const called = (network: Network) => network.name.toUpperCase();

export const CHINESE: Words = {
  title: "探索器",
  exhibit: "网络的训练数据",
  openRun: "打开训练好的网络…",
  forecasterFolder: (folder) => `${folder} 是一个预测模型，它的文件夹里没有要读的序列。请在该文件夹所在的目录运行“gated explore ${folder} --out page”，再打开 page/index.html，或在这里打开文件夹“page”。`,
  noRun: (document) => `这个文件夹里没有 ${document}。请选择一个训练好的网络的文件夹。`,
  noDescription: (folder, document) => `${folder} 里的 ${document} 没有描述一个网络：它已损坏，或是由其他程序写出的。`,
  noCell: (where, found, expected) => `这不是逐字符阅读的单元的文档：${where} 是 ${found}，应为${expected}。请重新保存单元的文档 layer.cell.document。`,
  wanted: {
    missing: "（缺失）",
    object: "一个对象",
    list: (most) => `不超过 ${most} 项的列表`,
    name: "由字母、数字和 _ 组成的名称",
    oneOf: (known) => (known.length === 1 ? ` ${known[0]}` : `以下之一：${known.join("、")}`),
    below: (count) => ` 0 到 ${count - 1} 之间的整数`,
    count: (count, operation) => ` ${count} 项的列表（${operation} 需要这么多）`,
    number: "一个数",
    heads: "头的个数，至少为 1",
    some: "至少一项的列表",
    text: (most) => `不超过 ${most} 个字符的文本`,
  },
  damagedWeights: (folder, file) => `${folder} 里的 ${file} 已损坏或不完整，或者不是 safetensors 文件。`,
  noWeights: (folder) => `${folder} 里没有 safetensors 文件。`,
  twoOfACell: (cell) => `这个文件夹里有两个网络的单元都是 ${cell}。请选择其中一个网络的文件夹。`,
  otherTask: (folder, task) => `${folder} 是任务 ${task} 的训练结果。这里只能打开逐字符的单层语言模型，以及“gated explore … --out”写出的页面。要查看这个网络的内部，请运行“gated explain ${folder} DATA --out report”。`,
  unknownCell: (folder, cell) => `${folder} 的单元 ${cell}，这个页面不认识它的名称。请运行“gated explore ${folder}”（它认识 gated.cells.library 中的单元），或者用单元的文档 layer.cell.document 代替名称保存。`,
  otherLanguageModel: (folder, layers, unit) => `${folder} 是以 ${unit} 为单位、有 ${layers} 层的语言模型；只能打开逐字符的单层模型。`,
  leftOut: (windows, series) => `为了让文件小一些，这个页面只包含最近的窗口，省略了较早的 ${windows} 个${series ? `，其中 ${series} 个序列的窗口全部省略` : ""}。`,
  rounded: (name) => `为了让文件小一些，${name} 的权重在这里舍入到 16 位：预测值的末几位可能与 gated predict 的不同。`,
  noExhibit: "页面旁边没有 exhibit.js：没有可以显示的网络。",
  language: "English",
  light: "浅色",
  dark: "深色",
  about: (network) =>
    `一个小网络，逐字符阅读文本，并预测下一个字符。它有 ${network.units} 个神经元，每个记住一个数。训练数据：${network.trained_on?.zh || "你自己的文本"}${network.score === null ? "" : `；在训练数据之外的作品上，每个字符需要 ${two(network.score)} 比特（越少，预测得越好）`}。输入一段文本，沿时间移动，观察它记住了什么。`,
  input: "文本",
  passage: "选一段",
  own: "自己输入",
  series: "序列",
  origin: "预测起点",
  keys: "← → 移动一步 · ↑ ↓ 换神经元 · 空格播放",
  time: "时间",
  back: "后退一步",
  forward: "前进一步",
  play: "▶ 播放",
  pause: "❚❚ 暂停",
  step: "时间步",
  network: "网络",
  unit: "神经元",
  moment: (step, steps, name) => `第 ${step} / ${steps - 1} 步：${name}`,
  part: (label) => label,
  cell: "记忆单元",
  diagram: (name) => `${name} 单元，带有所选神经元的数值`,
  cellHint: "方框是带权重的层：σ 给出 0 到 1 之间的值，tanh 给出 −1 到 1 之间的值。圆圈是逐个神经元的运算：⊙ 是相乘，+ 是相加。线越宽，数值越大；蓝色为正，橙色为负。指向一个公式，对应的线会高亮；指向一条线，对应的公式会高亮。点击方框或某个门的公式，可以看到它为什么是这个值。",
  boxTitle: (gate, value) => `${gate}：为什么是 ${value}`,
  does: {
    forget_gate: ({ f, c0, kept }) => `遗忘门决定旧的记忆保留多少。旧的记忆 cₜ₋₁ 要乘以它：1 全部保留，0 全部抹去。这里：${two(f)} × ${signed(c0)} = ${signed(kept)}。`,
    input_gate: ({ i, g, written }) => `输入门决定候选记忆（−1 到 1 之间的值）有多少写入记忆。这里：${two(i)} × ${signed(g)} = ${signed(written)}。`,
    candidate: ({ i, g, written }) => `候选记忆是可能写入记忆的值，在 −1 到 1 之间；写入多少，由输入门决定。这里：${two(i)} × ${signed(g)} = ${signed(written)}。`,
    output_gate: ({ o, c, tanh }) => `记忆状态 c 是记忆。隐藏状态 h = o ⊙ tanh(c) 是记忆中输出的部分，输出多少由输出门决定。预测和下一步的各个门读取的是 h，不是 c。这里：${two(o)} × tanh(${signed(c)}) = ${signed(o * tanh)}。`,
    update_gate: ({ z, rest, h0, n, kept, written }) => `更新门同时决定保留多少和写入多少：旧的状态保留 z，再加上候选状态的 1 − z。这里：${two(z)} × ${signed(h0)} + ${two(rest)} × ${signed(n)} = ${signed(kept + written)}。`,
    reset_gate: () => "重置门决定候选状态读取旧的状态的多少：1 全部读取，0 完全不读。",
    candidate_state: ({ rest, n, written }) => `候选状态是可能写入状态的值，在 −1 到 1 之间；写入的部分是 1 − z，z 是更新门。这里：${two(rest)} × ${signed(n)} = ${signed(written)}。`,
    hidden: () => "普通 RNN 没有门。每一步都由这个和算出新的状态，取代旧的状态，旧的状态不会原样保留。",
  },
  boxHint: (symbol, squash, reset) => `这个神经元的 ${symbol}ₜ 是一个和的 ${squash}。和由以下各部分组成${reset === null ? "" : `（来自状态的部分已乘以 rₜ = ${reset}）`}：当前字符的权重、hₜ₋₁ 的每个神经元乘以其权重，以及偏置。`,
  boxHeld: (value) => `这个门被固定为 ${value}。下面是网络原本用来计算它的和。`,
  boxOwnHint: (symbol, squash, reset) =>
    `这个神经元的 ${symbol}ₜ 是一个和${squash ? `的 ${squash}` : ""}。和由以下各部分组成${reset === null ? "" : `（来自状态的部分已乘以 ${reset}）`}：当前字符的权重、所读状态的每个神经元乘以其权重、定义中另外加上的项，以及偏置。`,
  boxRest: "和中的其他项",
  ownName: (state, gate, name) => `${state ? "状态" : gate ? "门" : "值"} ${name}`,
  columns: {
    character: (name) => `字符 ${name}`,
    unit: (name) => `下层神经元 ${name} 的 h`,
    target: (name) => name,
    observed: (name) => `${name} 是否已知`,
    error: () => "平滑的误差",
    number: (name) => name,
    scaled: (name) => `${name}（已缩放）`,
    sine: (name) => `${CYCLES[name] ?? name}的正弦`,
    cosine: (name) => `${CYCLES[name] ?? name}的余弦`,
    holiday: (name) => HOLIDAYS[name] ?? name,
    lag: (name, steps) => `${steps} 步之前的 ${name}`,
    season: (name, steps) => `整季（${steps} 步）之前的 ${name}`,
    smooth: (name) => `平滑得到的 ${name}`,
    category: (name) => name,
    series: () => "是哪个序列",
    level: (name) => `${name} 的水平`,
  },
  networkParts: { encoder: "编码器", decoder: "解码器" },
  layer: (layer) => `第 ${layer} 层`,
  within: (name, where) => `${name}（${where.join("，")}）`,
  factor: "某个系数",
  boxOtherInputs: (inputs) => `其余 ${inputs} 个输入`,
  boxState: (symbol, unit) => `神经元 ${unit} 的 ${symbol}`,
  boxUnit: (unit) => `神经元 ${unit}`,
  boxOthers: (units, named) => (named ? `其余 ${units} 个神经元` : units === 1 ? "唯一的神经元" : `全部 ${units} 个神经元`),
  boxBias: "偏置",
  boxSum: "总和",
  boxResult: (squash) => (squash ? `总和的 ${squash}` : "值"),
  boxHeldRow: "固定值",
  boxClose: "收起",
  boxBefore: "这个神经元在前一步的状态：",
  boxEdit: "带框的数字可以修改：输入另一个数并按回车，或按 ↑ ↓，网络就用它重新阅读这段文本。改动权重或偏置，对每一步都有效；改动状态，则是改动前一步的状态，此后的一切都由新值算出。",
  editName: (kind, gate, unit, other, what) =>
    ({
      input: `第 ${other} 步的输入 ${what}`,
      input_weight: `神经元 ${unit} 的${gate}，${what} 的权重`,
      weight: `神经元 ${unit} 的${gate}，神经元 ${other} 的 h 的权重`,
      bias: `神经元 ${unit} 的${gate}，偏置`,
      inner: `神经元 ${unit} 的${gate}，与 ${what} 相乘的偏置`,
      state: `神经元 ${unit} 在第 ${other} 步之后的 ${what}`,
    })[kind],
  similar: "与此刻相似的时刻",
  similarHint: "如果两个时刻所有神经元的状态（h，以及 c，如果有）相似，这两个时刻就相似。用状态之间的余弦衡量：1 表示方向相同，0 表示互相垂直。",
  findSimilar: "找出与此刻相似的时刻",
  similarTo: (step, around, found) => (found ? `与第 ${step} 步（${around}）最相似的时刻（不计该步前后 5 步，以及已找到的时刻前后 5 步）：` : `这段文本中没有与第 ${step} 步相隔 5 步以上的时间步。`),
  stepOf: (step) => `第 ${step} 步`,
  backTo: (step) => `回到第 ${step} 步`,
  cosine: (value) => `余弦 ${value}`,
  second: "与另一段文本比较",
  secondHint: "同一个网络（包括对它的所有改动）从头阅读两段文本。两段文本按时间步上下对齐，并画出所选神经元的曲线；竖直的虚线标出两者从哪一步开始不同。",
  copyFirst: "从第一段文本开始",
  dropSecond: "移除",
  firstText: "第一段文本",
  secondText: "第二段文本",
  textEnd: "结尾",
  gap: "",
  sameTexts: "两段文本相同。请改动第二段中的一个词。",
  parted: (step, first, second) => `两段文本从第 ${step} 步开始不同：第一段是 ${first}，第二段是 ${second}。${step ? "在此之前，网络对两者的计算完全相同。" : ""}`,
  twoScores: (first, second) =>
    `第一段文本每字符需要 ${two(first)} 比特，第二段 ${two(second)} 比特：${two(first) === two(second) ? "一样多" : `${second > first ? "多" : "少"} ${two(Math.abs(Number(two(second)) - Number(two(first))))} 比特`}。`,
  twoScoresAfter: (first, second) => `只计从那一步起的字符，分别为 ${two(first)} 和 ${two(second)} 比特。`,
  unknownInSecond: (count) => `第二段文本有 ${count} 个字符网络不认识。`,
  editsTitle: "改过的数字",
  edited: (name, old, now) => `${name}：${old} → ${now}`,
  colon: "：",
  comma: "，",
  takeBack: "撤销",
  takeAllBack: "全部撤销",
  noNumber: (typed) => `${typed.trim() ? `“${typed}”不是数字` : "这一栏是空的"}。请输入 −0.25 这样的数字。原值不变。`,
  outside: (hidden, typed, low, high) => `不能取 ${typed}：${hidden ? `隐藏状态由门和 tanh 算出，在 ${low} 与 ${high} 之间` : `这里只接受 ${low} 与 ${high} 之间的数`}。原值不变。`,
  tooManyEdits: (most) => `已经改了 ${most} 个数字，不能再多。请先撤销一个。`,
  curves: "当前时刻前后的文本，以及所选神经元的状态和门随时间的变化",
  spoken: (moment, unit, values, next) => `${moment}。神经元 ${unit}：${values}。下一个：${next}`,
  prediction: "下一个字符",
  observed: "实际值",
  median: "预测值",
  without: "改变之前的预测值",
  quantile: (percent) => `${percent} % 分位数`,
  legend: () => ({}),
  change: "改变一个门",
  gate: "门",
  all: "所有神经元",
  value: "门的值",
  when: "何时",
  spans: { all: "始终", on: "从某一步起", range: "从某一步到某一步" },
  first: "从第几步",
  last: "到第几步",
  release: "取消固定",
  free: "未固定",
  noGate: "普通 RNN 没有可以改变的门。",
  noHeldGate: "这个单元没有带 sigmoid 的门，所以没有可以固定的门。",
  noSum: "这个单元的状态都不是过去各步写入内容之和，所以没有可以列出的各份。",
  unchanged: "把一个门固定在某个值，网络就重新阅读这段文本。",
  effect: (plain, changed) => `${plain === null ? "" : `这段文本每字符需要 ${two(plain)} 比特，改变之后需要 ${two(changed)} 比特。`}竖线标出改变之前的预测。`,
  ledger: "账本：这个神经元记住了什么，由哪些步写入",
  noLedger: "普通 RNN 每一步都重新计算状态，所以没有来自以前各步的部分可以列出。",
  sum: (symbol, state, count, rest, set) => written(symbol, state, count, "个字符", rest, set),
  byHand: (step) => `手动设定 ${step}`,
  maps: "门与状态随时间的变化",
  mapsHint: "从左到右是时间，每一行是一个神经元。点击可以选择时刻和神经元。名称旁边的色条说明颜色：门从 0（关）到 1（开）；其余的值蓝色为正，橙色为负，最大的 3 % 都用最深的颜色。",
  comparison: (networks) => (networks === 3 ? "三个网络，同一段文本" : networks === 1 ? "网络能回看多远" : `${networks} 个网络，同一段文本`),
  noReach: (nothing) => (nothing ? "没有曲线：这里的预测不依赖网络读到的任何内容。" : "没有曲线：这里每一步的预测都不依赖之前的步。请换一段更长的文本，或换一个网络。"),
  differ: (cells) =>
    [
      cells.includes("gru") && "GRU 用同一个门 z 控制保留与写入，只有一个状态 h，既是记忆，也是输出。它的另一个门 r 决定候选记忆读取这个状态的多少。",
      cells.includes("lstm") && "LSTM 用 f 控制保留，用另一个门 i 控制写入；它有两个状态，即记忆 c 和输出 h，两者之间还有第三个门 o。",
    ].filter(Boolean).join("\n"),
  shrinks: (networks) =>
    [
      networks.some(({ cell }) => cell === "rnn") && "普通 RNN 会忘，是因为它没有门：每一步的整个状态都要经过权重和 tanh 一类的函数重新计算。它的梯度每往回退一步就乘以一个矩阵，在大多数网络里很快就缩小到接近零。",
      networks.some(({ kept }) => kept !== null) && `沿着有门的记忆，梯度每一步只乘以负责保留的门：只要这个门接近 1，梯度就几乎不缩小。在这里，保留得最多的那个神经元，这个门的平均值是：${networks.filter(({ kept }) => kept !== null).map(({ name, kept }) => `${name} ${two(kept!)}`).join("，")}。梯度经过权重的那一部分，像普通 RNN 一样缩小。`,
    ].filter(Boolean).join("\n"),
  facts: (units, score, reach, whole) => `${units} 个神经元${score === null ? "" : `，这里每字符 ${two(score)} 比特`}${reach === null ? "" : "；"}${reach === null ? "" : whole && !reach ? "文本太短，看不出梯度能传多远" : !reach ? "预测只依赖当前的字符" : `梯度${whole ? "至少" : ""}能传回 ${reach} 步之前`}。`,
  reach: "梯度能传多远",
  reachHint: "梯度表示某一时刻的预测对若干步之前的字符依赖有多强，以最大值为 1。一个网络能回看多远，指曲线还不低于 1 %（粗线）的最远一步；更早的过去几乎不起作用。低于百万分之一的不画。",
  distance: "相隔的步数",
  other: "其他",
  train: "在这里训练三个网络",
  trainHint: "RNN、GRU 和 LSTM 各 16 个神经元，在这个页面里用同样的例子学习同一个问题。请观察损失（答案错得有多远，越低越好）、负责保留的门，以及有多少梯度能传回第一步。",
  problemChoice: "问题",
  problems: { recall: "记住一个符号", adding: "两数相加", brackets: "数未闭合的括号" },
  problemTold: {
    recall: "四个符号 ▲ ● ■ ◆ 之一在第一步显示一次。停顿（下面的点）之后，网络要答出是哪一个。",
    adding: "每一步显示一个 0 到 1 之间的数，其中两个带有标记（下面只写出这两个）：网络要答出它们的和。",
    brackets: "点之间有括号打开和闭合。每一步之后，网络要答出还有几个没有闭合。",
  },
  problemMeasured: {
    recall:
      "用 20 步、四个随机起点测得：GRU 更新 156 到 188 次后学会，RNN 用 106 到 162 次（有一次用了 1,397 次），LSTM 一次用了 2,418 次，另外三次在 4,000 次之内没有学会。这并不说明 LSTM 更差：它的遗忘门从 σ(1) = 0.73 开始，0.73 的 19 次方使符号和梯度到最后只剩 0.3 %。用上面的开关让遗忘门一开始就打开，它更新 93 到 134 次就能学会。如果只有 10 步，不用开关，它也只需 90 到 343 次（两个起点）。",
  },
  openGate: "遗忘门一开始就打开（偏置为 3，而不是 1）",
  openGateTold: "只有 LSTM 有遗忘门。它这时从 σ(3) = 0.95 开始，而不是 σ(1) = 0.73，所以很多步之后，记忆和梯度都留下更多。",
  length: "长度",
  some: (steps) => `${steps} 步`,
  clip: "把梯度的范数裁剪到 1",
  clipTold: "梯度裁剪给梯度设上限：如果梯度的范数（即长度）大于 1，就缩短到 1。这样，任何一次更新都不会把权重改得过多。",
  drop: "输出之前 20 % 的 dropout",
  dropTold: "dropout 在每次更新时随机遮住一些值：h 的每个值都有 20 % 的概率不让输出看到。这样，网络不会只依赖少数几个神经元。下面的预测不用 dropout。",
  transfer: "从上一次训练的权重开始",
  transferTold: "迁移起点不用随机权重，而用训练过的权重开始：即这个页面上一次训练同一个问题时得到的权重。可以先用 10 步训练，再用 40 步。第一次训练之前，权重仍是随机的。",
  learn: "▶ 训练",
  anew: "重新开始",
  learnt: (updates, loss) => `更新 ${updates} 次${loss === null ? "" : `，损失 ${loss}`}`,
  answer: (answered, target) => `预测 ${answered}，目标 ${target}`,
  losses: "各网络的损失随更新次数的变化；虚线是不用记忆、只靠猜测时的损失",
  flow: "梯度的范数随回溯步数的变化，以最后一步的值为 1；对数坐标，从 1 到百万分之一",
  tour: "导览",
  tourPlace: (stop, stops) => `第 ${stop} 站，共 ${stops} 站`,
  tourBack: "上一站",
  tourOn: "下一站",
  tourEnd: "结束导览",
  tourAgain: "显示本站所讲的内容",
  tourPart: (part, { network, unit, value, step }, until, passage) =>
    ({ text: `段落“${passage}”`, network: `${network?.toUpperCase()}`, unit: `神经元 ${unit}`, value: value === null ? "没有固定的门" : `固定为 ${two(value)} 的门`, edits: "没有改过数字的网络", step: until ? `第 ${step} 到 ${until} 步` : `第 ${step} 步` })[part as "text"],
  tourAway: (parts, silent) => `本站讲的是：${parts.join("、")}。页面现在显示的是别的内容${silent ? "，所以这里略去本站的文字" : ""}。`,
  tourKept: "你自己的文本已经保留：在“选一段”中选“自己输入”，就能取回。",
  section: "页面部分",
  notices: "提示",
  parts: {
    text: "文本", exhibit: "网络的训练数据", series: "序列", moment: "预测起点", network: "网络", step: "时间步", unit: "神经元", gate: "门", value: "门的值", all: "所有神经元", span: "何时", first: "从第几步", last: "到第几步", edits: "改过的数字", other: "第二段文本", tour: "导览的站", story: "图解的进度", language: "语言", theme: "配色", box: "展开的门",
  },
  absent: (what, asked, there, shown) => `${what}：没有“${asked}”。可以是：${there.replaceAll(", ", "、")}。${shown && `现在显示：${shown}。`}`,
  strange: (name, parts) => `这个页面不认识链接中的“${name}”。链接可以包含：${parts.replaceAll(", ", "、")}。`,
  cut: (length, longest) => `这段文本有 ${length.toLocaleString("zh")} 个字符，网络只读前 ${longest.toLocaleString("zh")} 个，其余省略。`,
  heldNowhere: (first, end) => `没有固定任何一步的门：范围从第 ${first} 步开始，在最后一步（第 ${end} 步）之后。`,
  heldOnce: (first, last) => `范围的结束（第 ${last} 步）在开始之前：门只在第 ${first} 步固定。`,
  heldToEnd: (last, end) => `没有第 ${last} 步：门固定到最后一步，即第 ${end} 步。`,
  unknown: (name, count, length, kinds, more) =>
    `这段文本共 ${length} 个字符，${name} ${count === length ? "一个也不认识" : `不认识其中 ${count} 个`}：${kinds.join(" ")}${more ? `，还有 ${more} 种` : ""}。它把这些字符都当作同一个字符“其他”来读，所以为它们显示的数值没有意义。这些字符不计入每字符的比特数。`,
  composed: (signs, characters) =>
    `这段文本中有 ${signs} 个符号（例如另加重音的字母，或由几部分组成的表情符号）被读作 ${characters} 个字符，逐个阅读。在下面每个字符各占一格：重音标在虚线圆 ◌ 上，没有形状的字符显示为方框 ▯。`,
  turned: "从右向左书写的字母，按输入的先后顺序阅读。在下面它们从左向右逐个排列，各用独立的字形。",
  emptied: "文本框是空的。请输入一段文本，或选一段；在此之前，页面显示的仍是上一段文本。",
  weightless: () => "",
  unknownShort: (count) => `这段文本有 ${count} 个字符这个网络不认识。`,
  titles: {
    reads: "网络阅读并预测",
    counts: "一个记忆神经元",
    forgets: "遗忘门",
    adds: "记忆从何而来",
    held: "如果这个神经元没有遗忘呢？",
    shut: "每一步都遗忘",
    reach: "各个网络能回看多远",
    yours: "轮到你了",
  },
  told: {
    reads: () => "网络一次只读这段文本的一个字符。按 ▶ 播放：方框向前移动，“下一个字符”显示它的预测。对于前文，它只知道自己记忆中的内容。这个页面展示记忆里有什么，以及这些内容从何而来。",
    counts: (claims) => {
      const { start, last, along, steps, correlation } = claims.counted!;
      const [line] = lineOf(claims);
      const counts = Math.abs(correlation) >= 0.7 ? `训练只要求网络预测下一个字符，但这个神经元学会了数一${line}有多长` : `这个神经元并不只是在数一${line}有多长`;
      return `图中是记忆的一个神经元，即所选的那一个。一个神经元只记住一个数，即图上方的 cₜ；这个数表示什么，是训练中学到的。按 ▶ 播放并观察 cₜ：它在${line}首为 ${signed(start)}，在之后的 ${steps} 个字符中有 ${along} 次${last > start ? "升高" : "降低"}，到${line}尾为 ${signed(last)}。${counts}：在这段文本中，cₜ 与${line}内位置的相关系数为 ${signed(correlation)}。`;
    },
    forgets: (claims) => {
      const { within, here, before, kept, input, written } = claims.forgotten!;
      const [line, sign] = lineOf(claims);
      return `计数怎样重新开始？看遗忘门 fₜ。旧的记忆 cₜ₋₁ 要乘以它：1 全部保留，0 全部抹去。在一${line}之内它平均为 ${two(within)}，从一个字符到下一个，${DEGREES[degree(within)]}${within < 0.05 ? "" : "都"}保留下来。在这里，${line}尾${sign}处，它是 ${two(here)}，${OPEN[openness(here)]}：cₜ₋₁ = ${signed(before)} 只留下 fₜ ⊙ cₜ₋₁ = ${signed(kept)}。输入门 iₜ 决定候选记忆 c̃ₜ 有多少写入记忆：这里 iₜ 是 ${two(input)}，写入新的起点 iₜ ⊙ c̃ₜ = ${signed(written)}。用 ◀ 和 ▶ 来回移动，观察 fₜ。`;
    },
    adds: (claims) => {
      const { left, older } = claims.remembered!;
      const [line, sign] = lineOf(claims);
      return `记忆是一个和：每个字符写入的内容，各乘以此后所有的遗忘门。列表给出最大的几份；在页面顶部“文本”一栏的文字中，每个字符的颜色表示它的那一份。这一${line}的字符写入的内容还剩 ${percent(left)}（${DEGREES[degree(left)]}）；上一个${sign}之前的内容只占记忆的 ${percent(older)}（${DEGREES[degree(older)]}）。`;
    },
    held: (claims) => {
      const { into, plain, changed, state, stateChanged } = claims.held!;
      const [line, sign] = lineOf(claims);
      const expects = changed > 2 * plain ? `就像${into ? "上" : "这"}一${line}还没有结束` : changed > 1.2 * plain ? "略有增加" : plain > 1.2 * changed ? "有所减少" : "几乎没有变化";
      const [where, end, mark] = into ? [`在这里，下一${line}的第 ${into} 个字符处，`, `${line}尾`, "各条上的竖线"] : ["", `又一个${line}尾`, `${sign.trim()} 那一条上的竖线`];
      return `要弄清一个门有什么用，就把它固定为别的值，看什么会改变。${into ? "在这一站" : "这里"}，只在${line}尾那一步（页面顶部文本中的下划线处），把这个神经元的遗忘门固定为 1，即保持打开。计数没有被抹去：${where}cₜ 是 ${signed(stateChanged)}，而不是 ${signed(state)}。网络预测${end}的概率是 ${percent(changed)}，而不是 ${percent(plain)}（${mark}），${expects}。把滑块移向 0，或按“取消固定”。`;
    },
    shut: ({ bits }) => {
      const still = "在这一站，所有神经元、所有时间步上负责保留的门都固定为 0，即关闭，只剩最后一步写入的内容。";
      if (!bits) return still;
      const { plain, none, everything, blind } = bits;
      const compared = { muchWorse: "这还要差得多", worse: "这更差", same: "这一样差", better: "这反而好一些" }[effect(none, everything)];
      return `${still}网络的预测${PREDICTS[effect(plain, none)]}：每字符需要 ${two(none)} 比特，而不是 ${two(plain)} 比特。（一比特是一个“是或否”问题的答案；对文本一无所知地猜测，每字符需要 ${blind.toFixed(1)} 比特。）把滑块移到 1，即从不遗忘：${compared}，需要 ${two(everything)} 比特${everything > blind ? "，比一无所知的猜测还多" : ""}。${forgetting(bits)}`;
    },
    reach: (claims) => {
      return `图中显示各个网络能回看多远，也就是某一时刻的预测对若干步之前的字符依赖有多强。能回看多远，指的是这种依赖还不低于最大值 1 % 的最远一步。${reached(claims)}${forgetsFirst(claims)}`;
    },
    yours: () => "输入自己的文本，用 ↑ ↓ 或“神经元”一栏选择别的神经元，固定别的门。用地址栏中的链接可以再次打开现在的画面。文档中的《图解：从 RNN 到 LSTM》用图逐个公式地讲解这个单元。",
  },
  arrays: {
    input_gate: "输入门 i",
    forget_gate: "遗忘门 f",
    candidate: "候选记忆 c̃",
    candidate_state: "候选状态 n",
    output_gate: "输出门 o",
    reset_gate: "重置门 r",
    update_gate: "更新门 z",
    cell: "记忆状态 c",
    hidden: "隐藏状态 h",
  },
};

export const CHINESE_OF_SERIES: Partial<Words> = {
  about: (network, target) =>
    `一个有 ${network.units} 个神经元的 ${called(network)} 网络（${network.parameters?.toLocaleString("zh")} 个权重），逐步阅读 ${target} 的过去，并预测之后的值。这里显示的时间段都没有用于训练。选一个时刻，沿时间移动，观察它记住了什么。`,
  input: "序列",
  boxHint: (symbol, squash, reset, part) =>
    `这个神经元的 ${symbol}ₜ（${part === "encoder" ? "在编码器中，它阅读历史" : "在解码器中，它作出预测"}）是一个和的 ${squash}。和由以下各部分组成${reset === null ? "" : `（来自状态的部分已乘以 rₜ = ${reset}）`}：每个输入乘以其权重、hₜ₋₁ 的每个神经元乘以其权重，以及偏置。有自己单位的输入，→ 之后是网络读到的缩放值。`,
  boxEdit: "带框的数字可以修改：输入另一个数并按回车，或按 ↑ ↓，网络就用它重新阅读这个窗口。改动权重或偏置，对编码器或解码器的每一步都有效；改动输入，只在这一步有效；改动状态，则是改动前一步的状态，此后的一切都由新值算出。",
  part: (label, known) => `${label}，${known ? "历史" : "预测"}`,
  prediction: "历史与预测",
  legend: (share) => ({ observed: "实际值", median: "预测值", interval: `${share} % 区间`, without: "改变之前的预测值", remembered: "竖条：神经元对每一步的记忆" }),
  unchanged: "把一个门固定在某个值，网络就重新阅读这个窗口。",
  effect: (plain, changed, credit) =>
    credit?.median === false
      ? `这一改变不移动预测线：网络在这里的中位数中没有权重，平均绝对误差仍为 ${two(plain)}。${credit.interval ? "只有区间可能改变。" : ""}`
      : `这次预测的平均绝对误差为 ${two(plain)}，改变之后为 ${two(changed)}。虚线是改变之前的预测。`,
  weightless: (name, interval) =>
    `在这次预测的中位数中，${name} 没有权重：拟合预测模型时，网络的修正没有带来改进，所以预测线来自平滑法，或与之混合的其他预测。固定一个门或修改一个数字，都不能移动它。${interval ? `${name} 只用于区间的宽度，也只有区间可能改变。` : "区间也与网络无关。"}`,
  sum: (symbol, state, count, rest, set) => written(symbol, state, count, "步", rest, set),
  comparison: (networks) => (networks === 1 ? "网络能回看多远" : "几个网络或几层，同一个窗口"),
  noReach: (nothing) => (nothing ? "没有曲线：网络在这里的中位数中没有权重，所以中位数不依赖网络读到的任何内容。" : "没有曲线：每一步的预测只依赖当步读到的内容，不依赖之前的步。"),
  facts: (units, score, reach, whole, weightless) => weightless ? `${units} 个神经元；这里的平均绝对误差为 ${two(score)}，但网络在预测的中位数中没有权重。` : `${units} 个神经元，这里的平均绝对误差为 ${two(score)}；预测${!reach && !whole ? "只依赖当步读到的内容" : `依赖${whole ? "至少" : ""}最近 ${reach ?? 0} 步`}。`,
  reachHint: "梯度表示某一步的预测对若干步之前读到的内容依赖有多强，以最大值为 1。低于 1 %（粗线）时，过去几乎不起作用；低于百万分之一的不画。",
  titles: {
    ...CHINESE.titles,
    reads: "网络阅读过去并预测",
    counts: "预测从何出发",
    adds: "历史还剩下什么",
    shut: "忘掉历史",
    reach: "网络能回看多远",
  },
  told: {
    ...CHINESE.told,
    reads: () => "竖线左边是历史：网络逐步阅读它。右边是预测及其区间，以及实际值。用“预测起点”选另一个时刻，再按 ▶ 播放：当前时刻沿时间移动。",
    counts: (_, exhibit) => `这是历史的最后一步。所有神经元的状态都带入预测，图中是所选神经元的状态。除状态之外，预测的每一步还读入：${reading(exhibit)}。过去的其他一切，如果不在状态之中，就丢失了。用 ↑ ↓ 选择别的神经元。`,
    adds: ({ history }) => {
      const { unit, into, share, mean, oldest, ago } = history!;
      const still = ago > 0 ? `最早的显著部分写于 ${oldest}，即预测开始之前 ${ago} 步。` : "";
      return `有门的神经元的记忆是一个和：每一步写入的内容，乘以此后所有负责保留的门。列表给出最大的几份，曲线后面的竖条用同样的颜色。这里是预测开始后的第 ${into} 步，神经元 ${unit} 的记忆有 ${percent(share)}（${DEGREES[degree(share)]}）来自历史，比其他神经元都多；所有神经元的平均值为 ${percent(mean)}。${still}`;
    },
    shut: ({ moved }) => {
      const { distance, plain, changed, credit } = moved!;
      if (credit?.median === false) {
        return `在这一站，所有神经元负责保留的门都只在预测开始的那一步固定为 0，即关闭（曲线上方的标记）。神经元记住的历史被抹去，预测线却没有移动：网络在这里的中位数中没有权重。拟合预测模型时，它的修正没有带来改进，所以预测线来自平滑法，或与之混合的其他预测。${credit.interval ? "网络只用于区间，区间可能改变。" : ""}门对状态的作用，仍可以在图和曲线中看到。请按“取消固定”。`;
      }
      const off = plain === null || changed === null ? "" : `平均绝对误差为 ${two(changed)}，没有改变时为 ${two(plain)}。`;
      return `在这一站，所有神经元负责保留的门都只在预测开始的那一步固定为 0，即关闭（曲线上方的标记）。神经元记住的历史被抹去，${distance >= 0.005 ? `预测平均移动 ${two(distance)}：虚线是改变之前的预测` : "预测几乎不变：它很少依赖网络记住的内容"}。${off}移动滑块，或按“取消固定”。`;
    },
    reach: (claims) => {
      if (claims.reaches!.every(({ weightless }) => weightless)) return "这里本该有一张图，显示某一步的预测对若干步之前读到的内容依赖有多强。没有可画的内容：网络在这次预测的中位数中没有权重，它读到的任何内容都不改变中位数。";
      const hills = claims.reaches!.filter(({ hill }) => hill !== null);
      const second = hills.length ? `曲线有第二个峰：${hills.map(({ name, hill }) => `${name} 在 ${hill} 步之前`).join("，")}。` : "";
      return `图中显示某一步的预测对若干步之前读到的内容依赖有多强。能回看多远，指的是这种依赖还不低于最大值 1 % 的最远一步。${reached(claims)}${forgetsFirst(claims)}${second}`;
    },
    yours: () => "选别的序列和时刻，用 ↑ ↓ 或“神经元”一栏选择别的神经元，在别的时间固定别的门。用地址栏中的链接可以再次打开现在的画面。文档中的《图解：从 RNN 到 LSTM》用图逐个公式地讲解这个单元。",
  },
};

/** What the page says in Chinese. */
import type { Network } from "./server";
import type { Words } from "./words";

const two = (value: number | null | undefined) => value?.toFixed(2) ?? "–";
const written = (symbol: string, state: string, count: number, what: string, rest: string) =>
  count === 1
    ? `${symbol} = ${state}，由第一${what}写入：在它之前什么也没有。`
    : `${symbol} = ${state}，是 ${count} ${what}写入的总和，每一份都被之后的门缩小。最大的几份如下，其余合计 ${rest}。`;
const called = (network: Network) => network.name.toUpperCase();

export const CHINESE: Words = {
  title: "探索器",
  language: "English",
  light: "浅色",
  dark: "深色",
  about: (network) =>
    `一个有 ${network.units} 个神经元的小网络，逐字符阅读文本，并猜下一个字符。训练数据：${network.trained_on?.zh || "你自己的文本"}${network.score === null ? "" : `；在从未见过的作品上，每个字符需要 ${two(network.score)} 比特`}。输入一段文本，沿时间移动，看它记住了什么。`,
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
  cellHint: "方框是带权重的层：σ 给出 0 到 1 之间的值，tanh 给出 −1 到 1 之间的值。线越宽，数值越大；蓝色为正，橙色为负。指向一个公式，对应的线会亮起；指向一条线也一样。",
  prediction: "下一个字符",
  observed: "实际值",
  median: "预测值",
  without: "改变之前的预测值",
  quantile: (percent) => `${percent} % 的可能低于`,
  legend: () => ({}),
  change: "改变一个门",
  gate: "门",
  all: "所有神经元",
  value: "门的值",
  when: "何时",
  spans: { all: "始终", on: "从某一步起", range: "从某一步到某一步" },
  first: "从第几步",
  last: "到第几步",
  release: "放开",
  free: "不固定",
  noGate: "普通 RNN 没有可以改变的门。",
  unchanged: "把一个门固定在某个值，网络就重新阅读这段文本。",
  effect: (plain, changed) => `${plain === null ? "" : `对这段文本的意外程度：每字符 ${two(plain)} 比特，改变之后 ${two(changed)} 比特。`}竖线标出改变之前的预测。`,
  ledger: "这个神经元记住了什么，是谁写入的",
  noLedger: "普通 RNN 每一步都覆盖自己的状态，没有可以拆开的和。",
  sum: (symbol, state, count, rest) => written(symbol, state, count, "个字符", rest),
  maps: "门与状态随时间的变化",
  mapsHint: "横向是时间，纵向是神经元。点击可选择时刻和神经元。名称旁边的色条说明颜色：门从 0（关）到 1（开）；其余蓝色为正，橙色为负。",
  comparison: (networks) => (networks === 3 ? "三个网络，同一段文本" : networks === 1 ? "网络能回看多远" : `${networks} 个网络，同一段文本`),
  facts: (units, score, reach, whole) => `${units} 个神经元${score === null ? "" : `，这里每字符 ${two(score)} 比特`}；${whole && !reach ? "文本太短，看不出梯度能传多远" : `梯度${whole ? "至少" : ""}向前传到 ${reach} 步`}。`,
  reach: "梯度能传多远",
  reachHint: "某一时刻的猜测对若干步之前的字符依赖多强，以最强者为 1。低于 1 %（粗线）时，过去几乎不再起作用；低于百万分之一的不画。",
  distance: "相隔的步数",
  other: "其他",
  tour: "导览",
  tourPlace: (stop, stops) => `第 ${stop} 站，共 ${stops} 站`,
  tourBack: "上一站",
  tourOn: "下一站",
  tourEnd: "结束导览",
  stops: {
    reads: [
      "阅读，并猜测",
      "网络像透过钥匙孔一样，一次只读这段文本的一个字符。按 ▶ 播放：方框向前移动，“下一个字符”显示它的猜测。对前文它只知道自己的记忆——这个页面就是要把记忆打开来看。",
    ],
    counts: [
      "记忆的一个神经元",
      "图中是它的一个记忆单元，即你所跟随的神经元。上方的 cₜ 就是它记住的内容。按 ▶ 播放并观察 cₜ：行首约为 −1.7，每读一个字符就升高一点。没有人要求它这样做，但这个神经元学会了数一行有多长。",
    ],
    forgets: [
      "遗忘门",
      "计数怎样重新开始？看遗忘门 fₜ：旧的记忆 cₜ₋₁ 要乘以它。在一行之内它接近 1，一切都保留。在这里，行尾 ↵ 处，它几乎为 0：fₜ·cₜ₋₁ 被抹去，输入门 iₜ 写入新的起点。用 ◀ 和 ▶ 来回移动，看它关上。",
    ],
    adds: [
      "记忆是谁写的",
      "所以记忆是一个和：每个字符写入的内容，乘以此后所有的遗忘门。列表是其中最大的几份，页面顶部“文本”一栏中的文字也按此上色。这一行的内容都还在，因为门一直开着；上一个 ↵ 之前的内容几乎什么也没有剩下。",
    ],
    held: [
      "如果没有遗忘呢？",
      "这里，只在行尾那一步（页面顶部文本中的下划线处），把这个神经元的遗忘门固定为 1，即保持打开。计数继续下去，好像没有换行，于是网络过早地期待下一个行尾：↵ 那一条上的竖线是改变之前的猜测。把滑块移向 0，或按“放开”。",
    ],
    shut: [
      "总是遗忘",
      "现在，所有神经元、所有时间步上负责保留的门都固定为 0，即关闭。从账本可以看到：只剩最后一步，网络猜得差得多：看滑块下面每字符的比特数。（一比特就是一个用“是”或“否”回答的问题；对文本一无所知，每字符大约需要六比特。）把滑块移到 1，即从不遗忘：更糟。",
    ],
    reach: [
      "三个网络",
      "普通 RNN 没有这样的门，GRU 用一个门兼做两件事。图中显示各自能回看多远：某一时刻的猜测对若干步之前的字符依赖多强。",
    ],
    yours: [
      "轮到你了",
      "输入自己的文本，用 ↑ ↓ 或“神经元”一栏跟随别的神经元，固定别的门。地址栏中的链接包含你看到的一切。这个单元为什么是这个样子，文档中的《图解：从 RNN 到 LSTM》用图逐个公式地讲述。",
    ],
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
    `一个有 ${network.units} 个神经元的 ${called(network)} 网络（${network.parameters?.toLocaleString("zh")} 个权重），逐步阅读 ${target} 的过去，并预测之后的值。这里显示的都是训练中没有用过的时间。选一个时刻，沿时间移动，看它记住了什么。`,
  input: "序列",
  part: (label, known) => `${label}，${known ? "历史" : "预测"}`,
  prediction: "历史与预测",
  legend: (share) => ({ observed: "实际值", median: "预测值", interval: `${share} % 区间`, without: "改变之前的预测值", remembered: "竖条：神经元对每一步的记忆" }),
  unchanged: "把一个门固定在某个值，网络就重新阅读这个窗口。",
  effect: (plain, changed) => `预测平均偏差 ${two(plain)}，改变之后 ${two(changed)}。虚线是改变之前的预测。`,
  sum: (symbol, state, count, rest) => written(symbol, state, count, "步", rest),
  comparison: (networks) => (networks === 1 ? "网络能回看多远" : `${networks} 个网络，同一个窗口`),
  facts: (units, score, reach, whole) => `${units} 个神经元，这里平均偏差 ${two(score)}；预测${whole ? "至少" : ""}依赖 ${reach} 步之前。`,
  reachHint: "某一步的预测对若干步之前读到的内容依赖多强，以最强者为 1。低于 1 %（粗线）时，过去几乎不再起作用；低于百万分之一的不画。",
  stops: {
    ...CHINESE.stops,
    reads: ["阅读过去，并作预测", "竖线左边是历史：网络逐步阅读它。右边是它的预测和区间，以及后来的实际值。用“预测起点”选另一个时刻，再按 ▶ 播放：红线沿时间移动。"],
    counts: ["预测从何出发", "这是历史的最后一步。所有神经元的状态（这里是你所跟随的神经元）就是进入预测的全部：过去要么在其中，要么就丢失了。用 ↑ ↓ 跟随别的神经元。"],
    adds: ["对昨天记住了什么", "在预测的中途，有门的单元的记忆是一个和：每一步写入的内容，乘以此后所有负责保留的门。列表是其中最大的几份，曲线后面的竖条也按此上色。"],
    shut: ["忘掉历史", "现在，所有神经元负责保留的门都只在预测开始的那一步关闭（曲线上方的标记）。从历史带来的内容被抹去，预测随之改变：虚线是改变之前的预测。移动滑块，或按“放开”。"],
    reach: ["能回看多远", "某一步的预测对若干步之前读到的内容依赖多强。如果曲线有第二个峰，说明网络回看整整一天或一周。"],
    yours: ["轮到你了", "选别的序列和时刻，用 ↑ ↓ 或“神经元”一栏跟随别的神经元，在别的时间固定别的门。地址栏中的链接包含你看到的一切。这个单元为什么是这个样子，文档中的《图解：从 RNN 到 LSTM》用图逐个公式地讲述。"],
  },
};

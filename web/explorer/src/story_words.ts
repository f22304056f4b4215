/** What the story says at its stations, in English and Chinese. */
import type { Captions } from "./story_picture";

interface StoryWords {
  title: string;
  about: string;
  show: string;
  hide: string;
  play: string;
  pause: string;
  back: string;
  on: string;
  slider: string;
  place: (station: number, stations: number) => string;
  colon: string;
  stations: { title: string; told: string }[];
  /** At the last station, of the moment that the page shows. */
  live: (moment: string, unit: number) => string;
  /** The same where no LSTM is among the networks. */
  noLive: string;
  toCell: string;
  captions: Captions;
}

export const STORY: Record<"en" | "zh", StoryWords> = {
  en: {
    title: "From a plain network to this cell, in one picture",
    about: "Seven stations: a plain network becomes an RNN, and the RNN an LSTM.",
    show: "Show the story",
    hide: "Hide the story",
    play: "▶ Play",
    pause: "❚❚ Pause",
    back: "Previous station",
    on: "Next station",
    slider: "Time of the story",
    place: (station, stations) => `Station ${station} of ${stations}`,
    colon: ": ",
    stations: [
      { title: "A network for each step", told: "Each sheet is a plain feed-forward network: input x below, hidden layer h, output y above. Every line is a weight. At each step the same network reads the next input, but it knows nothing about the inputs before." },
      { title: "A sheet seen from its edge", told: "Turn the sheets until you see them from their edges: the units of a layer lie behind each other and become one circle, and all lines between two layers become one arrow. All sheets have the same weights, so one sheet is enough. The loop is new: the hidden layer also reads its own output of the step before, through the weights U. This is an RNN." },
      { title: "Unrolled in time", told: "When the loop is unrolled in time, the same network appears once for each step. Only the arrows U lead from one step to the next, and each of them goes through weights and a tanh. So the hidden state is computed anew at every step, and its traces of the past fade." },
      { title: "A second chain swings out", told: "The LSTM adds a second chain behind the first: the memory c. The second chain is not in the plane of the network, so it swings out across that plane. There are no weights between one memory and the next; a line joins each memory to the hidden state of its step." },
      { title: "One line becomes three", told: "Seen from above, the two chains run side by side; inputs and outputs are hidden under the hidden states. The line between memory and hidden state becomes three: one deletes from the memory (⊙ multiplies by a number from 0 to 1), one adds to it, one reads it." },
      { title: "Each line gets its gate", told: "Each line gets a layer of its own, which reads [hₜ₋₁, xₜ]. The forget gate deletes, the input gate and the candidate together add, and the output gate says how much of the memory is read. Along the top, from cₜ₋₁ to cₜ, there are only one product and one sum. This is why the memory lasts." },
      { title: "The cell with its numbers", told: "The same picture with the numbers of a trained network. Wide wires carry large values. The colour of a wire now shows the sign, blue for positive and orange for negative; the boxes keep the colours of their functions." },
    ],
    live: (moment, unit) => `The picture shows ${moment}, unit ${unit}. Move through time on the page, and the picture follows.`,
    noLive: "None of the networks shown here is an LSTM, so the wires have no numbers.",
    toCell: "Go to the cell on this page",
    captions: { time: "time", network: "network", memory: "memory", forget: "delete", add: "add", read: "read", gates: ["forget", "input", "candidate", "output"] },
  },
  zh: {
    title: "一张图，从普通网络到这个单元",
    about: "共七站：普通网络怎样变成 RNN，RNN 又怎样变成 LSTM。",
    show: "打开图解",
    hide: "收起图解",
    play: "▶ 播放",
    pause: "❚❚ 暂停",
    back: "上一站",
    on: "下一站",
    slider: "图解的进度",
    place: (station, stations) => `第 ${station} 站，共 ${stations} 站`,
    colon: "：",
    stations: [
      { title: "每一步一个网络", told: "每一张都是一个普通的前馈网络：下面是输入 x，中间是隐藏层 h，上面是输出 y，每条线是一个权重。每一步都由同一个网络读下一个输入，但它对之前的输入一无所知。" },
      { title: "从侧面看", told: "把这些网络转过来，从侧面看：同一层的神经元前后重叠，成为一个圆；两层之间的所有连线成为一个箭头。各张的权重都相同，所以画一张就够了。环是新加的：隐藏层还要通过权重 U 读自己上一步的输出。这就是 RNN。" },
      { title: "沿时间展开", told: "把环沿时间展开，同一个网络在每一步各出现一次。步与步之间只有箭头 U，每个箭头都要经过权重和 tanh。所以隐藏状态在每一步都重新计算，其中过去的痕迹逐渐消失。" },
      { title: "第二条链", told: "LSTM 在第一条链后面加了第二条链：记忆 c。它与网络不在同一平面，所以从这个平面里转出来。相邻两步的记忆之间没有权重；每一步的记忆与隐藏状态之间有一条线相连。" },
      { title: "一条线拆成三条", told: "从上往下看，两条链并排，输入和输出被隐藏状态挡住。记忆与隐藏状态之间的一条线拆成三条：一条从记忆中删除（⊙ 是乘以 0 到 1 之间的数），一条往记忆中增加，一条读出记忆。" },
      { title: "每条线都有了门", told: "每条线都有自己的一层网络，读的都是 [hₜ₋₁, xₜ]。遗忘门管删除，输入门与候选记忆一起管增加，输出门决定读出多少记忆。沿着上方从 cₜ₋₁ 到 cₜ，只有一次相乘和一次相加，所以记忆能保持很久。" },
      { title: "填入数值的单元", told: "同一张图，填入了一个训练好的网络的数值。线越粗，数值越大；线的颜色现在表示正负，蓝色为正，橙色为负；方框的颜色仍表示各自的作用。" },
    ],
    live: (moment, unit) => `图中是${moment}，神经元 ${unit}。在页面上沿时间移动，这张图也随之变化。`,
    noLive: "这里的网络都不是 LSTM，所以线上没有数值。",
    toCell: "转到页面上的单元",
    captions: { time: "时间", network: "网络", memory: "记忆", forget: "删除", add: "增加", read: "读出", gates: ["遗忘门", "输入门", "候选记忆", "输出门"] },
  },
};

// What steps did, in the language of the page.

import { currentLanguage, words } from "./words.js";

// By kind of operation; the words are those of the window. English texts come from the server.
const STEPS = {
  ja: {
    "label": "{count} 枚に {label} のラベルを付ける",
    "label-each": "{count} 枚に {classes} クラスのラベルを付ける",
    "exclude": "{count} 枚を候補から除外",
    "reject": "{count} 枚を「顔ではない」へ",
    "other": "{count} 枚を「集めない人物」へ",
    "later": "{count} 枚を「わからない」へ",
    "queue": "{count} 枚を未整理へ",
    "suggested": "{count} 枚に候補を採用",
    "confirm": "{count} 枚を確認",
    "new-class": "新しいクラス {name}",
    "rename-class": "{old} を {new} に改名",
    "merge-class": "{old} を {into} に統合: {count} 枚",
    "delete-class": "クラス {name} を削除: {count} 件を未整理へ",
    "add-alias": "{name} の別名 {alias} を追加",
    "remove-alias": "{name} の別名 {alias} を削除",
    "draw-box": "枠を追加",
    "move-box": "枠を移動",
    "remove-box": "枠を削除",
    "set-aside": "重複 {count} 枚をマーク",
    "keep-all": "重複ではない: 画像 {count} 枚",
    "take-back-copies": "重複 {count} 枚を元に戻す",
    "same": "{one} と {other} を重複としてマーク",
    "not-same": "{one} と {other} を別としてマーク",
    "label-by-command": "{count} 枚に {label} のラベルを付ける",
    "reject-by-command": "{count} 枚を却下",
    "accept-hints": "弱ラベル {count} 件を採用",
    "accept-proposals": "予測 {count} 件を採用",
    "take-back-hints": "矛盾する弱ラベル {count} 件を取り消し",
    "import": "{folder} から {count} 枚を読み込み",
    "import-moves": "読み込み: {folder} の変更 {count} 件",
    "accept-reports": "ウェブ報告 {count} 件を採用",
    "refuse-reports": "ウェブ報告 {count} 件を却下",
    "restore": "スナップショット {name} を復元: {count} 件を変更",
    "take-in": "{dataset} を統合: 決定 {count} 件",
    "undo": "元に戻す: {what}",
  },
  zh: {
    "label": "将 {count} 张人脸标为 {label}",
    "label-each": "将 {count} 张人脸标为 {classes} 个类别",
    "exclude": "将 {count} 张人脸从建议中排除",
    "reject": "将 {count} 张标为“不是人脸”",
    "other": "将 {count} 张标为“我不收集的人”",
    "later": "将 {count} 张标为“不确定”",
    "queue": "将 {count} 张人脸退回待整理",
    "suggested": "接受 {count} 张人脸的建议",
    "confirm": "确认 {count} 张人脸",
    "new-class": "新建类别 {name}",
    "rename-class": "将 {old} 重命名为 {new}",
    "merge-class": "将 {old} 合并到 {into}：{count} 张人脸",
    "delete-class": "删除类别 {name}：{count} 张退回待整理",
    "add-alias": "为 {name} 添加别名 {alias}",
    "remove-alias": "删除 {name} 的别名 {alias}",
    "draw-box": "添加一个框",
    "move-box": "移动一个框",
    "remove-box": "删除一个框",
    "set-aside": "标记 {count} 个重复",
    "keep-all": "不是重复：{count} 张图像",
    "take-back-copies": "恢复 {count} 个重复",
    "same": "将 {one} 与 {other} 标记为重复",
    "not-same": "将 {one} 与 {other} 标记为不同",
    "label-by-command": "将 {count} 张标为 {label}",
    "reject-by-command": "拒绝 {count} 张",
    "accept-hints": "接受 {count} 个弱标签",
    "accept-proposals": "接受 {count} 个预测",
    "take-back-hints": "撤回 {count} 个有争议的弱标签",
    "import": "从 {folder} 导入 {count} 张",
    "import-moves": "导入：{folder} 中更改了 {count} 个文件",
    "accept-reports": "接受 {count} 条网页报告",
    "refuse-reports": "拒绝 {count} 条网页报告",
    "restore": "恢复快照 {name}：{count} 项有变化",
    "take-in": "合并 {dataset}：{count} 个决定",
    "undo": "撤销：{what}",
  },
};

/** Return what a step did; in English where there is no translation. */
export const stepText = ({ text, operation }) => translate(operation) ?? text;

/** Return who did something, and what. */
export const newsText = ({ by, description }) => words("{by}: {text}", { by, text: stepText(description) });

function translate({ kind, arguments: values }) {
  const template = STEPS[currentLanguage()]?.[kind];
  if (kind !== "undo") return template && words(template, values);
  const what = translate(values.of);
  return template && what && words(template, { what });
}

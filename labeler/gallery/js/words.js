// Every text of the page in three languages. English is its own key; names in braces are filled in.

const WORDS = {
  zh: {
    "Gallery": "图库", "Language": "语言",
    "Search": "搜索", "Search names, titles, authors": "搜索名称、标题、作者", "Filters": "筛选",
    "Class": "类别", "Flags": "标记", "Split": "划分", "Source": "来源", "Labelled by": "标注方式", "Weak label": "弱标签", "Found by": "检测器",
    "Show all": "全部显示", "any": "全部", "none": "无",
    "{shown} of {total} samples shown, classes: {classes}": "共 {classes} 个类别、{total} 个样本，显示其中 {shown} 个",
    "All {total} samples, classes: {classes}": "全部 {total} 个样本，{classes} 个类别",
    "Cluster": "聚类", "All {total} pending samples in {classes} clusters": "{total} 个待定样本，共 {classes} 个聚类",
    "{shown} of {total} pending samples shown, in {classes} clusters": "共 {classes} 个聚类、{total} 个待定样本，显示其中 {shown} 个",
    "Track": "轨迹", "All {total} pending samples in {classes} tracks": "{total} 个待定样本，共 {classes} 条轨迹",
    "{shown} of {total} pending samples shown, in {classes} tracks": "共 {classes} 条轨迹、{total} 个待定样本，显示其中 {shown} 个",
    "{count} match": "符合 {count} 个", "Nothing matches.": "没有符合的样本。",
    "{shown} of {total}": "{total} 个中的 {shown} 个", "Show all {count}": "显示全部 {count} 个",
    "label issue": "标签问题", "has copies": "有重复",
    "any flag": "任意标记",
    "blurred": "模糊", "black": "全黑", "white": "全白", "tiny": "太小",
    "person": "人", "model": "模型", "weak label": "弱标签", "import": "导入",
    "train": "训练", "val": "验证", "test": "测试",
    "Previous": "上一个", "Next": "下一个", "Close": "关闭",
    "suggested class: {name} ({percent})": "建议类别：{name}（{percent}）", "by a model not trained on it": "由未用它训练的模型给出",
    "Title": "标题", "Author": "作者", "Licence": "许可", "Page": "网页", "Time in the video": "视频中的时间", "Sample": "样本",
    "cannot be shown": "无法显示",
    "Made with Gleanset. This page is self-contained and loads nothing.": "由 Gleanset 制作。本页自包含，不加载任何外部内容。",
  },
  ja: {
    "Gallery": "ギャラリー", "Language": "言語",
    "Search": "検索", "Search names, titles, authors": "名前・タイトル・作者を検索", "Filters": "絞り込み",
    "Class": "クラス", "Flags": "フラグ", "Split": "分割", "Source": "取得元", "Labelled by": "ラベル付けの方法", "Weak label": "弱ラベル", "Found by": "検出器",
    "Show all": "すべて表示", "any": "すべて", "none": "なし",
    "{shown} of {total} samples shown, classes: {classes}": "{classes} クラス、{total} 個のうち {shown} 個を表示",
    "All {total} samples, classes: {classes}": "{classes} クラス、{total} 個すべて",
    "Cluster": "クラスター", "All {total} pending samples in {classes} clusters": "未決定の {total} 個、クラスター {classes} 個",
    "{shown} of {total} pending samples shown, in {classes} clusters": "クラスター {classes} 個、未決定の {total} 個のうち {shown} 個を表示",
    "Track": "トラック", "All {total} pending samples in {classes} tracks": "未決定の {total} 個、トラック {classes} 個",
    "{shown} of {total} pending samples shown, in {classes} tracks": "トラック {classes} 個、未決定の {total} 個のうち {shown} 個を表示",
    "{count} match": "{count} 個が一致", "Nothing matches.": "一致するものはありません。",
    "{shown} of {total}": "{total} 個中 {shown} 個", "Show all {count}": "{count} 個すべて表示",
    "label issue": "ラベルの問題", "has copies": "重複あり",
    "any flag": "いずれかのフラグ",
    "blurred": "ぼけ", "black": "真っ黒", "white": "真っ白", "tiny": "小さすぎる",
    "person": "人", "model": "モデル", "weak label": "弱ラベル", "import": "読み込み",
    "train": "学習", "val": "検証", "test": "テスト",
    "Previous": "前", "Next": "次", "Close": "閉じる",
    "suggested class: {name} ({percent})": "候補: {name} ({percent})", "by a model not trained on it": "これを学習していないモデルによる",
    "Title": "タイトル", "Author": "作者", "Licence": "ライセンス", "Page": "ページ", "Time in the video": "動画の時刻", "Sample": "サンプル",
    "cannot be shown": "表示できません",
    "Made with Gleanset. This page is self-contained and loads nothing.": "Gleanset で作成。このページは単独で動作し、外部から何も読み込みません。",
  },
};

const wantedLanguage = (navigator.languages ?? []).map((one) => one.slice(0, 2)).find((one) => one === "en" || one in WORDS);
let language = wantedLanguage ?? "en";

/** A text in the chosen language. */
function words(text, values = {}) {
  const translated = WORDS[language]?.[text] ?? text;
  return translated.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Put every fixed text of the page into a language. */
function speak(wanted) {
  language = wanted;
  document.documentElement.lang = wanted;
  for (const place of document.querySelectorAll("[data-words]")) place.textContent = words(place.dataset.words);
  for (const place of document.querySelectorAll("[data-label]")) place.setAttribute("aria-label", words(place.dataset.label));
  for (const place of document.querySelectorAll("[data-hint]")) place.placeholder = words(place.dataset.hint);
}

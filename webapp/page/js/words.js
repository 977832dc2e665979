// Every text of the page in three languages. Names in braces are filled in.

const WORDS = {
  zh: {
    "Where": "在哪里判断", "On the server": "服务器", "On this device": "本设备", "Language": "语言",
    "Drop pictures here, paste them, or": "把图片拖到这里、粘贴，或者", "Choose pictures": "选择图片",
    "Take a photo": "拍照", "Check a whole folder": "检查整个文件夹", "Remove all": "全部移除",
    "Seen on this device before": "本设备上看过的", "Forget them": "忘掉它们",
    "For programs": "供程序使用", "Back": "返回", "Wrong result?": "结果不对？", "Who is it?": "是谁？",
    "Note (if you like)": "备注（可选）", "The picture and what you write go to whoever runs this page.": "图片和你写的内容会交给运行本页面的人。",
    "Send": "发送", "Cancel": "取消", "Who is this?": "这是谁？", "Who are they?": "他们是谁？",
    "Face {number}": "人脸 {number}", "Whole picture": "整张图片", "Add a face": "添加人脸", "Remove": "移除",
    "Remove picture": "移除图片", "unknown": "未知", "looking for faces …": "正在寻找人脸……",
    "no face found: draw a box, or ask the server": "没有找到人脸：请画一个框，或让服务器寻找",
    "no face found: draw a box": "没有找到人脸：请画一个框", "faces found by the server": "人脸由服务器找到",
    "the server found no face; these the browser found": "服务器没有找到人脸；这些是浏览器找到的",
    "faces found in the browser; the server, from whose faces the model learnt, may see others": "人脸由浏览器找到；模型是用服务器找到的人脸训练的，服务器可能会找到别的",
    "Let the server look": "让服务器寻找", "thinking …": "正在判断……", "Thank you, it was sent.": "谢谢，已发送。",
    "This was reported before.": "已经有人报告过了。", "{name} cannot be read as a picture": "无法把 {name} 读作图片",
    "server: {ms} ms": "服务器：{ms} 毫秒", "server: no connection": "服务器：没有连接",
    "fetching the model, {mb} MB …": "正在下载模型，{mb} MB……", "on this device: {ms} ms": "本设备：{ms} 毫秒",
    "Face {number}: arrows move it, Shift and arrows resize it, Delete removes it": "人脸 {number}：方向键移动，Shift 加方向键改变大小，Delete 移除",
    "{done} of {count} looked at": "已看 {done} / {count}", "Save the list": "保存列表", "Stop": "停止", "Close": "关闭",
    "Tick what is right; sure ones are ticked. Nothing is deleted.": "勾选正确的；有把握的已勾选。不会删除任何文件。",
    "Pictures of": "这个类别的图片", "{count} ticked": "已勾选 {count} 张", "nearest known: {names}": "最相近的已知图片：{names}",
    "The server asks for a token: open the address that it printed when it was started.": "服务器需要令牌：请打开它启动时显示的地址。",
  },
  ja: {
    "Where": "判定する場所", "On the server": "サーバー", "On this device": "この端末", "Language": "言語",
    "Drop pictures here, paste them, or": "画像をここにドロップ、貼り付け、または", "Choose pictures": "画像を選ぶ",
    "Take a photo": "写真を撮る", "Check a whole folder": "フォルダー全体を調べる", "Remove all": "すべて外す",
    "Seen on this device before": "この端末で見たもの", "Forget them": "忘れる",
    "For programs": "プログラム向け", "Back": "戻る", "Wrong result?": "結果が違う?", "Who is it?": "誰ですか?",
    "Note (if you like)": "メモ (任意)", "The picture and what you write go to whoever runs this page.": "画像と書いた内容は、このページの運営者に送られます。",
    "Send": "送信", "Cancel": "キャンセル", "Who is this?": "これは誰?", "Who are they?": "この人たちは誰?",
    "Face {number}": "顔 {number}", "Whole picture": "画像全体", "Add a face": "顔を追加", "Remove": "外す",
    "Remove picture": "画像を外す", "unknown": "不明", "looking for faces …": "顔を探しています…",
    "no face found: draw a box, or ask the server": "顔が見つかりません。枠を描くか、サーバーに頼んでください",
    "no face found: draw a box": "顔が見つかりません。枠を描いてください", "faces found by the server": "顔はサーバーが見つけました",
    "the server found no face; these the browser found": "サーバーは顔を見つけませんでした。これらはブラウザーが見つけたものです",
    "faces found in the browser; the server, from whose faces the model learnt, may see others": "顔はブラウザーが見つけました。モデルはサーバーが見つけた顔で学習したので、サーバーは別の顔を見つけるかもしれません",
    "Let the server look": "サーバーに探させる", "thinking …": "判定しています…", "Thank you, it was sent.": "ありがとうございます。送信しました。",
    "This was reported before.": "すでに報告されています。", "{name} cannot be read as a picture": "{name} は画像として読めません",
    "server: {ms} ms": "サーバー: {ms} ミリ秒", "server: no connection": "サーバー: 接続なし",
    "fetching the model, {mb} MB …": "モデルを取得しています、{mb} MB…", "on this device: {ms} ms": "この端末: {ms} ミリ秒",
    "Face {number}: arrows move it, Shift and arrows resize it, Delete removes it": "顔 {number}: 矢印で移動、Shift と矢印で大きさ、Delete で外す",
    "{done} of {count} looked at": "{count} 枚中 {done} 枚を確認", "Save the list": "一覧を保存", "Stop": "止める", "Close": "閉じる",
    "Tick what is right; sure ones are ticked. Nothing is deleted.": "正しいものに印を付けてください。確かなものは印が付いています。何も削除しません。",
    "Pictures of": "このクラスの画像", "{count} ticked": "{count} 枚に印", "nearest known: {names}": "最も似た既知の画像: {names}",
    "The server asks for a token: open the address that it printed when it was started.": "サーバーがトークンを求めています。起動時に表示されたアドレスを開いてください。",
  },
};

const KEY = "language";
let language = localStorage.getItem(KEY) ?? chosen(navigator.languages ?? []);

function chosen(wanted) {
  const known = wanted.map((one) => one.slice(0, 2)).find((one) => one === "en" || one in WORDS);
  return known ?? "en";
}

export const currentLanguage = () => language;

/** What to speak where only some languages are offered (none: all): as now, as the visitor wants, or the first. */
export function amongOffered(offered) {
  if (!offered.length || offered.includes(language)) return language;
  const wanted = (navigator.languages ?? []).map((one) => one.slice(0, 2));
  return wanted.find((one) => offered.includes(one)) ?? offered[0];
}

/** A text in the language that is chosen; English is its own key. */
export function words(text, values = {}) {
  const told = WORDS[language]?.[text] ?? text;
  return told.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Put every fixed text of the page into a language, and remember it. */
export function speak(wanted = language) {
  language = wanted;
  localStorage.setItem(KEY, language);
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-words]")) place.textContent = words(place.dataset.words);
}

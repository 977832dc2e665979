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
    "About this model": "关于这个模型",
    "What it knows": "它认识什么",
    "How it was measured": "如何测量",
    "Where its pictures came from": "图片从哪里来",
    "Ask for a picture to be removed": "请求移除一张图片",
    "Which picture? One of these is enough.": "哪张图片？填写其中一项即可。",
    "Address of the page it came from": "它所在网页的地址",
    "The picture itself (it is only looked for, and not kept)": "图片本身（只用于查找，不会保存）",
    "In words": "用文字说明",
    "Why should it go?": "为什么要移除？",
    "How to reach you (if you like)": "如何联系您（可选）",
    "Run {run}, trained on {date}.": "训练编号 {run}，训练于 {date}。",
    "Run {run}.": "训练编号 {run}。",
    "It judges pictures as a whole.": "它判断整张图片。",
    "It judges the faces in a picture.": "它判断图片中的人脸。",
    "learnt from": "用于学习",
    "watched by": "用于验证",
    "judged by": "用于测试",
    "Class": "类别",
    "Numbers of pictures, as the run itself recorded them.": "图片数量，以训练时的记录为准。",
    "How many pictures of each it learnt from is not known here: this is an exported file.": "各类用多少图片学习，这里不知道：这是导出的文件。",
    "Not known here: this is an exported file, or its run was not judged.": "这里不知道：这是导出的文件，或者训练没有经过测试。",
    "{accuracy} of {pictures} pictures right.": "{pictures} 张图片中有 {accuracy} 判断正确。",
    "With other pictures of the same kind probably {low} to {high} (95 % interval).": "换成同类的其他图片，大概在 {low} 到 {high} 之间（95 % 区间）。",
    "Counted in {moments} moments: pictures of one scene or post count as one.": "按 {moments} 个时刻计算：同一场景或同一帖子的图片算作一个。",
    "So few moments give only a rough guess.": "时刻这么少，只能粗略估计。",
    "It had learnt from none of these pictures.": "这些图片都没有用于学习。",
    "No others were there than those that its training was watched by: the figures are too good.": "只有训练时用来验证的图片：数字会偏高。",
    "Always naming the commonest class gets {share}.": "总是回答最常见的类别可得 {share}。",
    "Measured on {date}.": "测量于 {date}。",
    "This page says “unknown” below {share}: a threshold of its own, with which nothing was measured.": "本页面在低于 {share} 时回答“未知”：这是页面自己的阈值，没有用它测量过。",
    "right when named": "判为此类时正确",
    "found of its pictures": "此类图片中认出",
    "pictures": "图片",
    "Not known here: there is no dataset beside this model.": "这里不知道：模型旁边没有数据集。",
    "It learnt from {images} pictures. One that was found in two places counts in both.": "它用 {images} 张图片学习。在两处找到的图片两处都算。",
    "Source": "来源",
    "Licence": "许可",
    "{made_by_model} are said by their source to be made by a model.": "其中 {made_by_model} 张据来源说是由模型生成的。",
    "{gone} more that it learnt from are not in the dataset any longer.": "另有 {gone} 张用于学习的图片已不在数据集中。",
    "A person looks at it. The picture then leaves the dataset for good, and the next training does without it; this model stays as it is until then.": "会有人查看请求。之后图片会永久离开数据集，下一次训练不再使用它；在那之前模型保持不变。",
    "This server has no pictures: ask whoever runs it.": "此服务器没有图片：请联系运行它的人。",
    "Contact: {contact}": "联系方式：{contact}",
    "This was asked before.": "这个请求已经提交过了。",
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
    "About this model": "このモデルについて",
    "What it knows": "何を知っているか",
    "How it was measured": "どのように測ったか",
    "Where its pictures came from": "画像の出どころ",
    "Ask for a picture to be removed": "画像の削除を依頼する",
    "Which picture? One of these is enough.": "どの画像ですか? どれか一つで十分です。",
    "Address of the page it came from": "元のページのアドレス",
    "The picture itself (it is only looked for, and not kept)": "画像そのもの (照合に使うだけで、保存しません)",
    "In words": "言葉で",
    "Why should it go?": "なぜ削除しますか?",
    "How to reach you (if you like)": "連絡先 (任意)",
    "Run {run}, trained on {date}.": "学習 {run}、{date} に学習。",
    "Run {run}.": "学習 {run}。",
    "It judges pictures as a whole.": "画像全体を判定します。",
    "It judges the faces in a picture.": "画像の中の顔を判定します。",
    "learnt from": "学習用",
    "watched by": "検証用",
    "judged by": "評価用",
    "Class": "クラス",
    "Numbers of pictures, as the run itself recorded them.": "画像の枚数。学習のときの記録によります。",
    "How many pictures of each it learnt from is not known here: this is an exported file.": "それぞれ何枚から学んだかは、ここでは分かりません。書き出されたファイルです。",
    "Not known here: this is an exported file, or its run was not judged.": "ここでは分かりません。書き出されたファイルか、評価されていない学習です。",
    "{accuracy} of {pictures} pictures right.": "{pictures} 枚のうち {accuracy} が正解。",
    "With other pictures of the same kind probably {low} to {high} (95 % interval).": "同じ種類の別の画像では、おそらく {low} から {high} (95 % 区間)。",
    "Counted in {moments} moments: pictures of one scene or post count as one.": "{moments} の場面で数えています。同じ場面や投稿の画像は一つと数えます。",
    "So few moments give only a rough guess.": "場面が少なく、大まかな目安にすぎません。",
    "It had learnt from none of these pictures.": "これらの画像は学習に使っていません。",
    "No others were there than those that its training was watched by: the figures are too good.": "学習中の検証に使った画像しかないため、数字は良すぎます。",
    "Always naming the commonest class gets {share}.": "最も多いクラスをいつも答えると {share} です。",
    "Measured on {date}.": "{date} に測定。",
    "This page says “unknown” below {share}: a threshold of its own, with which nothing was measured.": "このページは {share} 未満を「不明」とします。ページ独自のしきい値で、これを使った測定はありません。",
    "right when named": "答えたときの正解率",
    "found of its pictures": "画像のうち見つけた割合",
    "pictures": "画像",
    "Not known here: there is no dataset beside this model.": "ここでは分かりません。このモデルのデータセットがありません。",
    "It learnt from {images} pictures. One that was found in two places counts in both.": "{images} 枚の画像から学びました。二か所で見つかったものは両方に数えます。",
    "Source": "出どころ",
    "Licence": "ライセンス",
    "{made_by_model} are said by their source to be made by a model.": "出どころによれば、{made_by_model} 枚はモデルが作ったものです。",
    "{gone} more that it learnt from are not in the dataset any longer.": "学習に使ったほかの {gone} 枚は、もうデータセットにありません。",
    "A person looks at it. The picture then leaves the dataset for good, and the next training does without it; this model stays as it is until then.": "人が確認します。その後、画像はデータセットから完全に取り除かれ、次の学習では使われません。それまでこのモデルは変わりません。",
    "This server has no pictures: ask whoever runs it.": "このサーバーに画像はありません。運営者にお尋ねください。",
    "Contact: {contact}": "連絡先: {contact}",
    "This was asked before.": "この依頼はすでに届いています。",
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

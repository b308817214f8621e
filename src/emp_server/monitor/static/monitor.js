// What the pages can do beyond reading and plain forms. Without it they work; with it they stay true by themselves.
import { copyButtons } from "./copy.js";
import { filesToFields, growingLists } from "./forms.js";
import { follow } from "./live.js";
import { passThrough } from "./login.js";
import { selecting } from "./rows.js";

selecting();
copyButtons();
filesToFields();
growingLists();
follow();
passThrough();

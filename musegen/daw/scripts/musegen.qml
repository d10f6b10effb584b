import QtQuick 2.9
import MuseScore 3.0
import FileIO 3.0

// Variations of the open score, as a new score. MuseScore 3: Plugins > musegen.
MuseScore {
    menuPath: "Plugins.musegen.Variation"
    description: "Makes a variation of this score with musegen and opens it"
    version: "1.0"

    // What `musegen daw install musescore` fills in.
    property string musegen: "musegen"
    property string verb: "vary"
    property string options: "-n 1"

    QProcess { id: process }
    FileIO { id: home }

    onRun: {
        if (typeof curScore === "undefined" || curScore === null) {
            console.log("musegen: open a score first");
            Qt.quit();
            return;
        }
        var base = home.tempPath() + "/musegen-" + Date.now();
        if (!writeScore(curScore, base, "mid")) {
            console.log("musegen: cannot write " + base + ".mid");
            Qt.quit();
            return;
        }
        var command = '"' + musegen + '" ' + verb + ' "' + base + '.mid" ' + options
            + ' --force -o "' + base + '-new.mid"';
        process.start(command);
        if (process.waitForFinished(600000)) {
            var opened = readScore(base + "-new.mid");
            if (!opened)
                console.log("musegen: " + process.readAllStandardOutput());
        } else {
            console.log("musegen: not found or too slow: " + command);
        }
        Qt.quit();
    }
}

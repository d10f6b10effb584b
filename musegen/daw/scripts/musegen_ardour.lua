ardour {
	["type"] = "EditorAction",
	name = "musegen: variations of the selected MIDI region",
	license = "MIT",
	author = "musegen",
	description = [[Writes the first selected MIDI region to a file, runs musegen on it, and imports what it makes as new tracks where the region begins.]]
}

-- What `musegen daw install ardour` fills in.
local MUSEGEN = "musegen"
local VERB = "vary"
local OPTIONS = "-n 4"

local PPQ = 480

-- Ardour counts 1920 ticks to a quarter note.
local function ticks (beats)
	return math.floor ((beats:get_beats () + beats:get_ticks () / 1920) * PPQ + 0.5)
end

local function number (value, bytes)
	local text = ""
	for i = bytes - 1, 0, -1 do
		text = text .. string.char (math.floor (value / 256 ^ i) % 256)
	end
	return text
end

-- A number as MIDI files hold it: seven bits a byte, the highest first.
local function variable (value)
	local text = string.char (value % 128)
	value = math.floor (value / 128)
	while value > 0 do
		text = string.char (128 + value % 128) .. text
		value = math.floor (value / 128)
	end
	return text
end

local function midi (notes)
	local events = {}
	for _, n in ipairs (notes) do
		table.insert (events, { n.on, 1, string.char (0x90 + n.channel, n.pitch, n.velocity) })
		table.insert (events, { n.off, 0, string.char (0x80 + n.channel, n.pitch, 64) })
	end
	table.sort (events, function (a, b)
		if a[1] ~= b[1] then return a[1] < b[1] end
		return a[2] < b[2]
	end)
	local track, now = "", 0
	for _, e in ipairs (events) do
		track = track .. variable (e[1] - now) .. e[3]
		now = e[1]
	end
	track = track .. string.char (0, 0xFF, 0x2F, 0)
	return "MThd" .. number (6, 4) .. number (0, 2) .. number (1, 2) .. number (PPQ, 2)
		.. "MTrk" .. number (#track, 4) .. track
end

local function tell (text)
	LuaDialog.Message ("musegen", text, LuaDialog.MessageType.Info, LuaDialog.ButtonType.Close):run ()
end

function factory () return function ()
	local region = nil
	for r in Editor:get_selection ().regions:regionlist ():iter () do
		local found = r:to_midiregion ()
		if region == nil and not found:isnil () then region = found end
	end
	if region == nil then return tell ("Select a MIDI region first.") end

	local notes = {}
	for n in ARDOUR.LuaAPI.note_list (region:model ()):iter () do
		local on = ticks (n:time ())
		local off = on + math.max (1, ticks (n:length ()))
		table.insert (notes, {
			on = on, off = off, channel = n:channel (), pitch = n:note (), velocity = n:velocity ()
		})
	end
	if #notes == 0 then return tell ("The region has no notes.") end

	local base = os.tmpname ()
	local input, folder = base .. ".mid", base .. "-out"
	local file = io.open (input, "wb")
	file:write (midi (notes))
	file:close ()
	local command = '"' .. MUSEGEN .. '" ' .. VERB .. ' "' .. input .. '" ' .. OPTIONS
		.. ' --force -o "' .. folder .. '" > "' .. base .. '" 2> "' .. base .. '.err"'
	os.execute (command)

	local files = C.StringVector ()
	local count = 0
	for line in io.lines (base) do
		if line:match ("%.mid$") then
			files:push_back (line)
			count = count + 1
		end
	end
	if count == 0 then
		local said = io.open (base .. ".err", "r")
		return tell ("musegen made nothing:\n" .. (said and said:read ("*a") or "it did not start"))
	end
	Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack,
		ARDOUR.SrcQuality.SrcBest, ARDOUR.MidiTrackNameSource.SMFTrackName,
		ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore, region:position (), ARDOUR.PluginInfo (), false)
end end

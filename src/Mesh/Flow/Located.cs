// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Flow;

/// <summary>What a caller wants to know of keys.</summary>
/// <param name="Mark">They are about to be read: keep them warm.</param>
/// <param name="CodesOnly">Whether they are there is all.</param>
/// <param name="Inline">Values up to so many bytes may come along; 0: none.</param>
internal readonly record struct LocateWants(bool Mark, bool CodesOnly = false, int Inline = 0);

/// <summary>
/// What owners said of keys, by position: Yes or Absent. A Yes is never replaced: a hedge may find what the first one
/// denies, not the other way round. Thread-safe; unchanging once ended.
/// </summary>
internal sealed class Located(IReadOnlyList<MeshKey> keys, SeenVersions seen, TimeSpan limit)
{
    private const byte Open = byte.MaxValue;
    private readonly byte[] _codes = NewCodes(keys.Count);
    private readonly int[] _places = new int[keys.Count];
    private LocateAnswer?[] _answers = [];
    private LocateAnswer? _answer;
    private bool _saidStale;
    private bool _cancelled;
    private bool _ended;

    /// <summary>Records that are no answer to the one key: their holders do not have it. Null: any is.</summary>
    public StaleRecords? Stale { get; set; }

    /// <summary>Whether a key has its answer.</summary>
    public bool IsAnswered(int index) => Volatile.Read(ref _codes[index]) != Open;

    /// <summary>Whether a key is there; only for an answered one.</summary>
    public bool IsPresent(int index) => _codes[index] == (byte)OwnerCode.Yes;

    /// <summary>The record of a key that is there; null when codes alone were asked for.</summary>
    public ObjectRecord? RecordOf(int index) => AnswerOf(index)?.RecordOf(_places[index]);

    /// <summary>Size of the object in bytes, and its copies; none without a record.</summary>
    public (long Size, int Copies) ShapeOf(int index) => AnswerOf(index)?.ShapeOf(_places[index]) ?? default;

    /// <summary>The value, if it came along.</summary>
    public ReadOnlyMemory<byte> ValueOf(int index) => AnswerOf(index)?.ValueOf(_places[index]) ?? default;

    /// <summary>Why a key has no answer; null when it has one.</summary>
    public MeshError? ErrorOf(int index)
    {
        if (IsAnswered(index))
            return null;
        return _cancelled
            ? new MeshError(MeshErrorCode.Cancelled, "locate", "the caller cancelled")
            : new MeshError(MeshErrorCode.Unavailable, "locate",
                $"no owner could answer for the key within {limit.TotalMilliseconds:0} ms");
    }

    /// <summary>Notes an owner's answers to the keys of <paramref name="positions"/>.</summary>
    public void Note(List<int> positions, LocateAnswer answer)
    {
        lock (_codes)
        {
            // An answer that comes after the end must not change what is being handed out.
            if (_ended)
                return;
            if (_answer is not null && _answers.Length == 0)
            {
                // The second one: from now on each key says whose answer it has.
                _answers = new LocateAnswer?[_codes.Length];
                _answers.AsSpan().Fill(_answer);
            }

            _answer ??= answer;
            for (int i = 0; i < answer.Count; i++)
            {
                var code = answer.CodeOf(i);
                int at = positions[i];
                if (code is not (OwnerCode.Yes or OwnerCode.Absent) || _codes[at] == (byte)OwnerCode.Yes)
                    continue;
                if (code == OwnerCode.Yes && (seen.IsBehind(keys[at].Hash, answer, i) || IsStale(answer, i)))
                    continue;
                _places[at] = i;
                if (_answers.Length > 0)
                    _answers[at] = answer;
                Volatile.Write(ref _codes[at], (byte)code);
            }
        }
    }

    /// <summary>
    /// Every owner was asked: when one that may deny (rule A11) said what is stale, and none knew better, the key is
    /// absent. One that may not can be behind the one that decides.
    /// </summary>
    public void DenyStale()
    {
        lock (_codes)
        {
            if (_saidStale && !_ended && _codes[0] == Open)
                Volatile.Write(ref _codes[0], (byte)OwnerCode.Absent);
        }
    }

    private bool IsStale(LocateAnswer answer, int index)
    {
        if (Stale is null || answer.RecordOf(index) is not { } record)
            return false;
        bool stale = Stale.Covers(record, out bool same);
        _saidStale |= same && answer.IsFinal;
        return stale;
    }

    /// <summary>From now on nothing changes.</summary>
    public Located End(bool cancelled)
    {
        lock (_codes)
        {
            _ended = true;
            _cancelled = cancelled;
        }

        return this;
    }

    private static byte[] NewCodes(int count)
    {
        var codes = new byte[count];
        codes.AsSpan().Fill(Open);
        return codes;
    }

    private LocateAnswer? AnswerOf(int index)
    {
        if (_codes[index] != (byte)OwnerCode.Yes)
            return null;
        return _answers.Length > 0 ? _answers[index] : _answer;
    }
}

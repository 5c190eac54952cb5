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
internal sealed class Located(int count, TimeSpan limit)
{
    private const byte Open = byte.MaxValue;
    private readonly byte[] _codes = NewCodes(count);
    private ObjectRecord?[] _records = [];
    private ReadOnlyMemory<byte>[] _values = [];
    private bool _cancelled;
    private bool _ended;

    /// <summary>Whether a key has its answer.</summary>
    public bool IsAnswered(int index) => Volatile.Read(ref _codes[index]) != Open;

    /// <summary>Whether a key is there; only for an answered one.</summary>
    public bool IsPresent(int index) => _codes[index] == (byte)OwnerCode.Yes;

    /// <summary>The record of a key that is there; null when codes alone were asked for.</summary>
    public ObjectRecord? RecordOf(int index) => _records.Length > 0 ? _records[index] : null;

    /// <summary>The value, if it came along.</summary>
    public ReadOnlyMemory<byte> ValueOf(int index) => _values.Length > 0 ? _values[index] : default;

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
            for (int i = 0; i < answer.Count; i++)
            {
                var code = answer.CodeOf(i);
                int at = positions[i];
                if (code is OwnerCode.Yes or OwnerCode.Absent && _codes[at] != (byte)OwnerCode.Yes)
                    Set(at, code, answer.RecordOf(i), answer.ValueOf(i));
            }
        }
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

    private void Set(int at, OwnerCode code, ObjectRecord? record, ReadOnlyMemory<byte> value)
    {
        if (record is not null)
        {
            if (_records.Length == 0)
                _records = new ObjectRecord?[_codes.Length];
            _records[at] = record;
        }

        if (!value.IsEmpty)
        {
            if (_values.Length == 0)
                _values = new ReadOnlyMemory<byte>[_codes.Length];
            _values[at] = value;
        }

        Volatile.Write(ref _codes[at], (byte)code);
    }
}

// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Arguments;

/// <summary>
/// The positions of a batch: those that are in order make the call, the others have their code at once, and every one
/// gets its result at the end, in its place.
/// </summary>
internal sealed unsafe class Positions
{
    private readonly List<int> _called;
    private readonly int[] _refused;

    /// <summary>Reads the keys.</summary>
    /// <param name="keys">Pointers to them.</param>
    /// <param name="sizes">Their lengths; null: each ends with a NUL.</param>
    /// <param name="count">How many.</param>
    /// <param name="fault">What else is wrong with a position, or null.</param>
    public Positions(byte** keys, nuint* sizes, int count, Func<int, RefusedException?>? fault = null)
    {
        _refused = new int[count];
        _called = new List<int>(count);
        Keys = new List<MeshKey>(count);
        for (int i = 0; i < count; i++)
        {
            nuint size = sizes is null ? Given.LengthOf(keys[i]) : sizes[i];
            if ((Given.KeyFault(keys[i], size) ?? fault?.Invoke(i)) is { } wrong)
            {
                _refused[i] = wrong.Code;
                LastError.Set($"position {i}: {wrong.Message}");
                continue;
            }

            _called.Add(i);
            Keys.Add(new MeshKey(new ReadOnlySpan<byte>(keys[i], (int)size).ToArray()));
        }
    }

    /// <summary>The keys of the call.</summary>
    public List<MeshKey> Keys { get; }

    /// <summary>The position in the batch of a position of the call.</summary>
    public int At(int called) => _called[called];

    /// <summary>Something of each position of the call.</summary>
    public T[] Each<T>(Func<int, T> of)
    {
        var all = new T[_called.Count];
        for (int i = 0; i < all.Length; i++)
            all[i] = of(_called[i]);
        return all;
    }

    /// <summary>Writes every result; 0.</summary>
    public long Write(long* results, Func<int, long> of) => Write(of, (at, code) => results[at] = code);

    /// <summary>Writes every result; 0.</summary>
    public long Write(int* results, Func<int, long> of) => Write(of, (at, code) => results[at] = (int)code);

    /// <summary>Why a position's memory cannot be, or null.</summary>
    public static RefusedException? RangeFault(void* address, nuint size, string name) =>
        new NativeRange((nint)address, (long)size).Validate("argument", name) is { } fault
            ? Given.Wrong(fault.Message)
            : null;

    private long Write(Func<int, long> of, Action<int, long> write)
    {
        for (int i = 0; i < _refused.Length; i++)
        {
            if (_refused[i] != 0)
                write(i, _refused[i]);
        }

        for (int i = 0; i < _called.Count; i++)
            write(_called[i], of(i));
        return 0;
    }
}

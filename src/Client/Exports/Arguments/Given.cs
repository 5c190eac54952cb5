// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Text;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Arguments;

/// <summary>What C passes, checked before it is used: every pointer, length and count.</summary>
internal static unsafe class Given
{
    /// <summary>Most entries of one batch.</summary>
    public const int MostEntries = 1 << 20;

    /// <summary>Longest text.</summary>
    public const int MostText = 1 << 20;

    /// <summary>A key of so many bytes.</summary>
    public static MeshKey Key(byte* key, nuint size) =>
        KeyFault(key, size) is { } fault
            ? throw fault
            : new MeshKey(new ReadOnlySpan<byte>(key, (int)size).ToArray());

    /// <summary>A key that ends with a NUL.</summary>
    public static MeshKey Key(byte* text) => Key(text, LengthOf(text));

    /// <summary>Bytes before the NUL, as far as any key may go and one more.</summary>
    public static nuint LengthOf(byte* text) => text is null ? 0 : LibC.strnlen(text, MeshKey.MaxLength + 1);

    /// <summary>Why this is no key, or null.</summary>
    public static RefusedException? KeyFault(byte* key, nuint size)
    {
        if (key is null)
            return Wrong("the key is NULL");
        if (size == 0)
            return Wrong("the key is empty; a key has 1 to 65536 bytes");
        if (size > MeshKey.MaxLength)
        {
            return new RefusedException(ErrorCodes.InvalidKey,
                $"the key has {size} bytes, or more; the limit is {MeshKey.MaxLength}");
        }

        return Wraps(key, size) ? Wrong($"the key at 0x{(nuint)key:x} goes past the end of memory") : null;
    }

    /// <summary>A text that must be there.</summary>
    public static string Text(byte* text, string name) =>
        text is null ? throw Wrong($"{name} is NULL") : TextOrEmpty(text, name);

    /// <summary>A text; NULL is the empty one.</summary>
    public static string TextOrEmpty(byte* text, string name)
    {
        if (text is null)
            return "";
        nuint length = LibC.strnlen(text, MostText + 1);
        return length > MostText
            ? throw Wrong($"{name} has over {MostText} bytes")
            : Encoding.UTF8.GetString(text, (int)length);
    }

    /// <summary>Memory of the host, of 0 bytes or more.</summary>
    public static NativeRange Range(void* address, nuint size, string name)
    {
        var range = new NativeRange((nint)address, (long)size);
        return range.Validate("argument", name) is { } fault
            ? throw new RefusedException(ErrorCodes.InvalidParams, fault.Message)
            : range;
    }

    /// <summary>The number of entries of arrays, each of pointers or of numbers of 8 bytes.</summary>
    public static int Count(nuint count, params ReadOnlySpan<nint> arrays) => Count(count, sizeof(long), arrays);

    /// <summary>The number of entries of arrays, of so many bytes each.</summary>
    public static int Count(nuint count, int entrySize, params ReadOnlySpan<nint> arrays)
    {
        if (count > MostEntries)
            throw Wrong($"{count} entries; the limit is {MostEntries}");
        foreach (nint array in arrays)
        {
            if (count > 0 && array == 0)
                throw Wrong("an array is NULL");
            if (Wraps((void*)array, count * (nuint)entrySize))
                throw Wrong("an array goes past the end of memory");
        }

        return (int)count;
    }

    /// <summary>A place that a result is written to.</summary>
    public static void Out(void* place, string name)
    {
        if (place is null)
            throw Wrong($"{name} is NULL");
    }

    /// <summary>The fault of an argument.</summary>
    public static RefusedException Wrong(string message) => new(ErrorCodes.InvalidParams, message);

    private static bool Wraps(void* address, nuint size) => (nuint)address > nuint.MaxValue - size;
}

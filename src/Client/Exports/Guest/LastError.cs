// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using System.Text;

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>The text of each thread's last failure, as C sees it.</summary>
internal static unsafe class LastError
{
    /// <summary>What a thread without a failure is given: in the image, so that it outlives everything.</summary>
    private static ReadOnlySpan<byte> Nothing => "\0"u8;

    [ThreadStatic]
    private static Slot? _slot;

    /// <summary>Remembers a text until the thread's next failure.</summary>
    public static void Set(string text) => (_slot ??= new Slot()).Text = text;

    /// <summary>The text; none where there is no memory for it.</summary>
    public static byte* PointerOrNothing()
    {
        try
        {
            return Pointer();
        }
        catch (OutOfMemoryException)
        {
            fixed (byte* nothing = Nothing)
                return nothing;
        }
    }

    /// <summary>The text, which ends with a NUL and stays in place until this thread's next call.</summary>
    private static byte* Pointer()
    {
        fixed (byte* nothing = Nothing)
            return _slot is { } slot ? slot.Native() : nothing;
    }

    private sealed class Slot
    {
        private byte* _native;
        private string _written = "";

        public string Text { get; set; } = "";

        public byte* Native()
        {
            if (_native is not null && ReferenceEquals(_written, Text))
                return _native;
            int length = Encoding.UTF8.GetByteCount(Text);
            _native = (byte*)NativeMemory.Realloc(_native, (nuint)length + 1);
            Encoding.UTF8.GetBytes(Text, new Span<byte>(_native, length));
            _native[length] = 0;
            _written = Text;
            return _native;
        }

        ~Slot() => NativeMemory.Free(_native);
    }
}
